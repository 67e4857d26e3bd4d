"""Test-time views of any classifier: each file is decoded once and seen in several ways; scores are averaged."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mlic_mm.config_files.config_types import type_name

__all__ = ['AverageViewsHook', 'check_views', 'set_views', 'view_pipeline']


def view_pipeline(pipeline: Sequence[Mapping], flip: bool = True, sizes: Sequence[int] = ()) -> list[dict]:
    """Make a pipeline of several views from a test pipeline.

    The transforms before the first difference between views run once. Decoding is one of them.

    Args:
        pipeline: Configs of transforms. The last one is ``PackInputs``.
        flip: Whether each view is also seen as its mirror image.
        sizes: Sides of squares in pixels. They replace the scale of the one ``Resize`` of the pipeline.

    Returns:
        Configs of transforms that end in mmcv's ``TestTimeAug``.

    Raises:
        ValueError: No view is asked for, or views cannot be made from such a pipeline.

    Example:
        >>> load, pack = dict(type='LoadImage'), dict(type='PackInputs')
        >>> steps = view_pipeline([load, dict(type='Resize', scale=(448, 448)), pack], flip=False, sizes=[384, 448])
        >>> [step['type'] for step in steps]
        ['LoadImage', 'TestTimeAug']
        >>> [view['scale'] for view in steps[1]['transforms'][0]]
        [(384, 384), (448, 448)]
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


def check_views(views: Sequence[str | int]) -> None:
    """Refuse a view that is neither ``'flip'`` nor a size in pixels."""
    for view in views:
        if view != 'flip' and not (str(view).isdecimal() and int(view)):
            raise ValueError(
                f'--tta {view}: a view is flip or a size in pixels; give config and checkpoint before --tta'
            )


def set_views(cfg: Config, views: Sequence[str | int]) -> None:
    """Let the test data of a config give several views of every image.

    Args:
        cfg: Of the test. Its ``tta_pipeline`` counts if no view is named.
        views: ``'flip'``, sizes in pixels, or both. Without any, mirror images.

    Raises:
        ValueError: A view is neither, or the test data have no pipeline to make views with.
    """
    check_views(views)
    dataset = cfg.test_dataloader.dataset
    if 'pipeline' not in dataset:
        raise ValueError(f'--tta: test_dataloader.dataset ({dataset.get("type")}) has no pipeline to make views with')
    if not views and cfg.get('tta_pipeline'):
        dataset.pipeline = cfg.tta_pipeline
    else:
        sizes = [int(view) for view in views if view != 'flip']
        dataset.pipeline = view_pipeline(dataset.pipeline, flip='flip' in views or not views, sizes=sizes)


class AverageViewsHook(Hook):
    """Wrap the model in a test-time model for the length of a test.

    The hook acts after all other hooks of ``before_test``. They and the loading of weights need the bare model, with
    its head and its keys. A wrapper in the config's ``model`` would hide both.

    Args:
        tta_model: Config of a subclass of mmengine's ``BaseTTAModel``, such as mmpretrain's ``AverageClsScoreTTA``.
    """

    priority = 'LOWEST'

    def __init__(self, tta_model: Mapping[str, Any]) -> None:
        self.tta_model = dict(tta_model)

    def before_test(self, runner: Runner) -> None:
        """Wrap the model."""
        self.bare = runner.model
        runner.model = MODELS.build({**self.tta_model, 'module': runner.model})

    def after_test(self, runner: Runner) -> None:
        """Unwrap the model."""
        runner.model = self.bare
