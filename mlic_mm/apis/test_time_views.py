"""Test-time views of any classifier: each file decoded once, looked at in several ways, scores averaged."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mlic_mm.config_files.config_types import type_name


def view_pipeline(pipeline: Sequence[Mapping], flip: bool = True, sizes: Sequence[int] = ()) -> list[dict]:
    """Make a pipeline of several views out of a test pipeline.

    What stands before the first transform that differs between views runs once, decoding above all.

    Args:
        pipeline: Transform configs, the last of them ``PackInputs``.
        flip: Every view also as its mirror image.
        sizes: Pixels of squares that take the place of the scale of the pipeline's one ``Resize``.

    Returns:
        Transform configs that end in mmcv's ``TestTimeAug``.

    Raises:
        ValueError: No view is asked for, or ``pipeline`` is not of the kind that it can be made out of.
    """
    steps = [copy.deepcopy(dict(step)) for step in pipeline]
    kinds = [type_name(step.get('type')) for step in steps]
    cure = 'set tta_pipeline in the config'
    if not flip and not sizes:
        raise ValueError('no test-time view is asked for: give flip, sizes or both')
    if not kinds or kinds[-1] != 'PackInputs':
        raise ValueError(
            f'the test pipeline must end in PackInputs, found {", ".join(kinds) or "no transform"}: {cure}'
        )
    first = len(steps) - 1
    if sizes:
        # Another scale before a crop would be another field of view, not another size.
        if kinds.count('Resize') != 1 or any('Crop' in kind and kind != 'CropBox' for kind in kinds):
            raise ValueError(
                'views of several sizes need a test pipeline with one Resize and no crop, found '
                f'{", ".join(kinds)}: {cure}'
            )
        first = kinds.index('Resize')
    branches = [[step] for step in steps[first:]]
    if sizes:
        branches[0] = [{**steps[first], 'scale': (size, size)} for size in sizes]
    if flip:
        mirrors = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]
        branches.insert(-1, mirrors)
    return [*steps[:first], dict(type='TestTimeAug', transforms=branches)]


class AverageViewsHook(Hook):
    """Put a test-time model around the model for the length of a test.

    Args:
        tta_model: Config of a subclass of mmengine's ``BaseTTAModel``, such as mmpretrain's ``AverageClsScoreTTA``.

    After all other hooks of ``before_test``: they and whatever loads weights meet the bare model, whose head and keys
    they know. Built into the config's ``model``, the wrapper would hide both from them.
    """

    priority = 'LOWEST'

    def __init__(self, tta_model: Mapping[str, Any]) -> None:
        self.tta_model = dict(tta_model)

    def before_test(self, runner: Runner) -> None:
        """Wrap."""
        self.bare = runner.model
        runner.model = MODELS.build({**self.tta_model, 'module': runner.model})

    def after_test(self, runner: Runner) -> None:
        """Unwrap."""
        runner.model = self.bare
