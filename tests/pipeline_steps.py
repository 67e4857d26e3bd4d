"""Build the pipelines of configs whose proposals and teachers are not there yet."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import TRANSFORMS

from mlic_mm.datasets.proposals.proposal_file import write_proposal_file
from mlic_mm.datasets.transforms import LoadTeacher


def write_proposals(path: Path) -> str:
    """Write the proposals of one image and return their file."""
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    write_proposal_file(path, [('1', (20, 30), boxes, np.ones(1, np.float32))], {}, dict(type='Any', id_type='str'))
    return str(path)


def build_step(step: dict, proposals: str) -> Any:
    """Build a transform; of a cached teacher, which takes a trained one, the arguments are looked at."""
    if step['type'] == 'mlic_mm.LoadProposals':
        assert step['file'].startswith('data/proposals/')
        return TRANSFORMS.build(dict(step, file=proposals))
    if step['type'] == 'mlic_mm.LoadTeacher':
        return inspect.signature(LoadTeacher).bind(**{name: value for name, value in step.items() if name != 'type'})
    return TRANSFORMS.build(step)
