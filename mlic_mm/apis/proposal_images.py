"""The images of a data set that proposals are generated for."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

from mlic_mm.config_files.config_types import type_class, type_name
from mlic_mm.datasets import LoadImage
from mlic_mm.datasets.from_config import SPLITS, dataset_from_config
from mlic_mm.registry import DATASETS

__all__ = ['ProposalImages', 'list_images']


class ProposalImages(NamedTuple):
    """The images of a data set.

    Attributes:
        paths: Path by image id.
        objects: Boxes ``(G, 4)`` by image id, without difficult and crowd ones; empty if the data have none.
        dataset: What a proposal file says of the data set.
        loader: Reads an image.
    """

    paths: dict[str, str]
    objects: dict[str, torch.Tensor]
    dataset: dict[str, Any]
    loader: LoadImage


def list_images(
    config: str | Path, cfg: Config, split: str = 'all', options: Mapping[str, Any] | None = None
) -> ProposalImages:
    """Build the data sets of one or all splits, and list their images, each once.

    Args:
        config: Path of the config.
        cfg: The same config, as read with the options.
        split: ``train``, ``val``, ``test`` or ``all``.
        options: Settings of the config to override, by dotted keys.

    Raises:
        ValueError: The config has no such split, its samples have no ids or share one, or the splits are of different
            data sets.
    """
    names: Sequence[str] = [
        name for name in (SPLITS if split == 'all' else (split,)) if split != 'all' or cfg.get(f'{name}_dataloader')
    ]
    if not names:
        raise ValueError(f'{config} has no data loader; name a config with data')
    paths: dict[str, str] = {}
    objects: dict[str, torch.Tensor] = {}
    kinds: list[str] = []
    loader = LoadImage()
    for name in names:
        merged = dict(options or {})
        if part := (cfg.get(f'{name}_dataloader') or {}).get('dataset', {}):
            loader = _own_loader(part.get('pipeline') or [])
            merged |= _plain_options(f'{name}_dataloader.dataset', part, loader)
        dataset = dataset_from_config(config, name, merged)
        kinds.append(type(dataset).__name__)
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            if 'img_id' not in info or 'img_path' not in info:
                raise ValueError(
                    f'{config}: samples of {kinds[-1]} have no img_id and img_path; proposals are kept by id'
                )
            img_id = str(info['img_id'])
            if paths.setdefault(img_id, info['img_path']) != info['img_path']:
                raise ValueError(
                    f'image id {img_id!r} is that of {paths[img_id]} and of {info["img_path"]}; write one file for '
                    'each split: --split'
                )
            if 'instances' in info:
                boxes = [o['bbox'] for o in info['instances'] if not o.get('ignore_flag', 0)]
                objects[img_id] = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    if len(set(kinds)) > 1:
        raise ValueError(f'{config}: the splits are of {", ".join(kinds)}; write one file for each: --split')
    return ProposalImages(paths, objects, dict(type=kinds[0], id_type='str', splits=list(names)), loader)


def _plain_options(key: str, dataset: Mapping[str, Any], loader: LoadImage) -> dict[str, Any]:
    """Return options that leave only the loader in the pipeline, and let the data set give boxes if it can."""
    # Not the rest of the pipeline: it may name the very file that is to be written.
    step = dict(type='mlic_mm.LoadImage', on_error='skip', max_pixels=loader.max_pixels)
    options: dict[str, Any] = {f'{key}.pipeline': [step] if loader.on_error == 'skip' else []}
    kind = type_class(DATASETS, dataset['type'])
    if any('with_boxes' in inspect.signature(base).parameters for base in (kind.__mro__ if kind else ())[:-1]):
        options[f'{key}.with_boxes'] = True
    return options


def _own_loader(pipeline: Sequence[Mapping[str, Any]]) -> LoadImage:
    """Return the pipeline's loader, for images at full size and without its cache."""
    for step in pipeline:
        if type_name(step['type']) == 'LoadImage':
            return LoadImage(**{key: step[key] for key in ('on_error', 'max_pixels') if key in step})
    return LoadImage()
