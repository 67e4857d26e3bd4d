"""Region proposals of a data set, stored in one file."""

from .proposal_file import ProposalFile

__all__ = ['ProposalFile']
