"""The images of a data set as a teacher sees them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch.utils.data import Dataset

from mlic_mm.datasets.from_config import dataset_from_config

__all__ = ['TeacherSamples']


class TeacherSamples(Dataset):
    """The images of a split, through the test pipeline of a config.

    Args:
        config: Path of the config.
        cfg: The same config, as read with the options.
        split: ``train``, ``val`` or ``test``.
        options: Settings of the config to override, by dotted keys.

    Attributes:
        ids: Image ids.
        kind: Type of the data set.
        classes: Label names.

    Raises:
        ValueError: The config has no such split, its data set is a wrapper, or its samples have no ids.
    """

    def __init__(self, config: str | Path, cfg: Config, split: str, options: Mapping[str, Any]) -> None:
        options = dict(options)
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        if dataset is not None and 'pipeline' not in dataset:
            raise ValueError(
                f'{config}: {dataset["type"]} of {split}_dataloader has no pipeline; give a config with the '
                'plain data set in place of one around it'
            )
        if dataset is not None:
            # Each image is read once, so that a cache of images would only take time and memory.
            steps = (
                {k: v for k, v in step.items() if k != 'cache_mb'} for step in cfg.test_dataloader.dataset.pipeline
            )
            options[f'{split}_dataloader.dataset.pipeline'] = list(steps)
        self.dataset = dataset_from_config(config, split, options)
        self.kind = type(self.dataset).__name__
        self.classes = tuple(self.dataset.metainfo['classes'])
        infos = (self.dataset.get_data_info(index) for index in range(len(self.dataset)))
        try:
            self.ids = [str(info['img_id']) for info in infos]
        except KeyError:
            raise ValueError(f'{config}: samples of {self.kind} have no img_id; outputs are kept by id') from None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        packed = self.dataset.pipeline(self.dataset.get_data_info(index))
        if packed is None:
            raise ValueError(f'image {self.ids[index]!r} cannot be read any more; start again')
        if 'ori_shape' not in packed['data_samples']:
            raise ValueError(f'{self.kind}: the test pipeline packs no ori_shape; add it to meta_keys of its last step')
        return packed
