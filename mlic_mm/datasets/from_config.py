"""Build the data set of one split of a config."""

from pathlib import Path
from typing import Any

from mmengine.registry import init_default_scope

from mlic_mm.config_files.config_file import read_config, require_keys
from mlic_mm.registry import DATASETS

__all__ = ['SPLITS', 'dataset_from_config']

SPLITS = ('train', 'val', 'test')


def dataset_from_config(config: str | Path, split: str, options: dict | None = None) -> Any:
    """Build ``{split}_dataloader.dataset`` of a config.

    Args:
        config: The config file.
        split: ``train``, ``val`` or ``test``.
        options: Settings to override, by dotted keys.

    Raises:
        ValueError: The config has no such data loader, or its data set is empty or names no classes.
    """
    cfg = read_config(config, options)
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        there = [name for name in SPLITS if cfg.get(f'{name}_dataloader') is not None]
        raise ValueError(f'{config} has no {split}_dataloader; it has data for: {", ".join(there) or "nothing"}')
    require_keys(cfg, {f'{split}_dataloader': 'the data'})
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    try:
        dataset = DATASETS.build(loader.dataset)
    except ValueError as error:
        if 'need at least one array' not in str(error):
            raise
        # mmengine's BaseDataset joins the samples, and there is none.
        kind = loader.dataset.get('type')
        raise ValueError(
            f'{config}: {split}_dataloader.dataset ({kind}) is empty; check its annotations and options'
        ) from None
    if not dataset.metainfo.get('classes'):
        raise ValueError(f'{config}: {type(dataset).__name__} names no classes; set its metainfo=dict(classes=…)')
    return dataset
