"""Other labels for the tiny run's photographs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from tiny_run import CLASSES


def label(cfg: Config, folder: Path, rows: Sequence[Sequence[int]], **options: Any) -> None:
    """Train on the first photographs with these labels, one row each; ``options`` are those of the data set."""
    lines = [','.join(map(str, [f'{i:02}.png', *map(int, row)])) for i, row in enumerate(rows)]
    (folder / 'labels.csv').write_text('\n'.join([','.join(['image', *CLASSES]), *lines]))
    old = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='mlic_mm.CSVMultiLabel',
        ann_file=str(folder / 'labels.csv'),
        data_prefix=str(Path(old.ann_file).parent),
        pipeline=old.pipeline,
        **options,
    )
