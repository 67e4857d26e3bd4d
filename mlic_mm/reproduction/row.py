"""A row of a table: published figures, and how ours are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .recipe import Recipe

__all__ = ['Row']


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: one way to get its scores, or none where the figures are another paper's.

    Args:
        name: Unique in the table; parts are separated by ``/``.
        published: Percentages by column heading; columns that the paper leaves out are missing.
        recipe: Trains and tests a model.
        mini: The same row on small real data with a small backbone, or why there is none.
        fuse: Rows whose scores are averaged, as ``table/row`` of the same paper.
        same_as: Row whose model this is, as ``table/row``: it is trained once.
    """

    name: str
    published: Mapping[str, float] = field(default_factory=dict)
    recipe: Recipe | None = None
    mini: Recipe | str | None = None
    fuse: Sequence[str] = ()
    same_as: str | None = None

    def __post_init__(self) -> None:
        if sum(bool(way) for way in (self.recipe, self.fuse, self.same_as)) > 1:
            raise ValueError(f'row {self.name!r}: recipe, fuse and same_as exclude each other')

    @property
    def cited(self) -> bool:
        """Whether the figures are another paper's, with nothing to run here."""
        return not (self.recipe or self.fuse or self.same_as)
