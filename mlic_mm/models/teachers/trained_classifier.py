"""A trained classifier from its config and checkpoint, with every source of its label names."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mlic_mm.config_files.config_types import type_class
from mlic_mm.safe_load.checkpoint_weights import StoredWeights
from mlic_mm.utils.checks import check_same_classes

Labels = dict[str, tuple[str, ...]]
"""Label names by their sources, for messages: ``{'checkpoint best.pth': ('cat', 'dog')}``."""


def build_classifier(
    cfg: Mapping[str, Any], checkpoint: str | Path | None, data_preprocessor: dict | None = None
) -> tuple[BaseModel, Labels]:
    """Build ``cfg['model']`` and load its weights as plain data. Nothing of the checkpoint is executed.

    Args:
        cfg: A whole config, or a dictionary with ``model`` alone.
        checkpoint: File of weights; None leaves the initial weights.
        data_preprocessor: For a config that has none, neither in ``model`` nor beside it.

    Returns:
        The model in eval mode, and the label names that checkpoint, label graph and test data state.

    Raises:
        ValueError: ``cfg`` has no ``model``, or the weights do not fit it.
        FileNotFoundError: There is no such checkpoint.
    """
    if cfg.get('model') is None:
        raise ValueError(f'{getattr(cfg, "filename", None) or "config"} has no model: give the config of a classifier')
    model_cfg = copy.deepcopy(cfg['model'])
    # As in mmengine's Runner.
    model_cfg.setdefault('data_preprocessor', copy.deepcopy(cfg.get('data_preprocessor') or data_preprocessor))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model = MODELS.build(model_cfg)
        labels = _labels_of_data(cfg)
    graph = getattr(getattr(getattr(model, 'head', None), 'label_graph', None), 'classes', None)
    if graph:
        labels['label graph of the model'] = tuple(graph)
    if getattr(model, 'classes', None):
        labels['members of the ensemble'] = tuple(model.classes)
    if checkpoint is not None:
        labels |= load_weights(model, checkpoint)
    return model.eval(), labels


def common_labels(labels: Labels) -> tuple[str, ...] | None:
    """Return the label names that all sources state, None if there is no source.

    Raises:
        ValueError: Two of them differ.
    """
    sources = list(labels.items())
    for source, classes in sources[1:]:
        check_same_classes(sources[0][1], classes, sources[0][0], source)
    return sources[0][1] if sources else None


def load_weights(model: BaseModel, checkpoint: str | Path) -> Labels:
    """Load all weights of a model and return the label names that the checkpoint states.

    Raises:
        CheckpointError: Weights are missing or of another shape.
    """
    stored = StoredWeights.read(checkpoint)
    unused = stored.load_into(model)
    if unused:
        print_log(
            f'{stored.source}: not needed by the model: {", ".join(unused[:5])}'
            + (f' and {len(unused) - 5} more' if len(unused) > 5 else ''),
            logger='current',
            level=30,
        )
    return {stored.source: stored.classes} if stored.classes else {}


def _labels_of_data(cfg: Mapping[str, Any]) -> Labels:
    """Return the label names that a config states for its test data, without reading the data."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    classes = (dataset.get('metainfo') or {}).get('classes')
    if not classes:
        classes = getattr(type_class(DATASETS, dataset.get('type')), 'METAINFO', {}).get('classes')
    return {f'test data of config {getattr(cfg, "filename", "")}'.rstrip(): tuple(classes)} if classes else {}
