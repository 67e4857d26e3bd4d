"""NUS-WIDE in small: the published layout with seven images, shared by the tests of the data set and its cache."""

import time
from pathlib import Path

from PIL import Image

from mlic_mm.datasets import NUSWIDE
from mlic_mm.datasets.label_cache import SETTLED
from mlic_mm.datasets.nus_wide.lists import CONCEPTS

LABELS = {
    'train': {
        'actor/0001_2124494179.jpg': 'person',
        'actor/0002_174174086.jpg': '',
        'zoos/0003_702409954.jpg': 'animal zebra',
        'close-up/0004_12345.jpg': 'flowers',
    },
    'test': {
        'actor/0005_262041423.jpg': 'airport person zebra',
        'zoos/0006_702409954.jpg': 'animal',  # the same photograph again, as in the published lists
        'zoos/0007_391097803.jpg': '',
    },
}
ALL = LABELS['train'] | LABELS['test']
ORDER = sorted(ALL)  # Imagelist.txt goes by folder, through both splits


def build(*args: object, **options: object) -> NUSWIDE:
    """Unserialised, which saves mmengine's collection of garbage for each of these many data sets."""
    return NUSWIDE(*args, **{'serialize_data': False, **options})


def miniature(root: Path, newline: str = '\n') -> str:
    """Write the published layout with the seven images above; return the root."""
    (root / 'ImageList').mkdir(parents=True)
    lists = {'TrainImagelist': list(LABELS['train']), 'TestImagelist': list(LABELS['test']), 'Imagelist': ORDER}
    for name, entries in lists.items():
        text = ''.join(entry.replace('/', '\\') + newline for entry in entries)
        (root / 'ImageList' / f'{name}.txt').write_bytes(text.encode())
    for folder in ('TrainTestLabels', 'AllLabels'):
        (root / 'Groundtruth' / folder).mkdir(parents=True)
    for concept in CONCEPTS:
        files = {
            f'TrainTestLabels/Labels_{concept}_Train.txt': list(LABELS['train']),
            f'TrainTestLabels/Labels_{concept}_Test.txt': list(LABELS['test']),
            f'AllLabels/Labels_{concept}.txt': ORDER,
        }
        for name, entries in files.items():
            text = ''.join(f'{int(concept in ALL[entry].split())}{newline}' for entry in entries)
            (root / 'Groundtruth' / name).write_bytes(text.encode())
    for entry in ALL:
        picture(root / 'Flickr' / entry)
    return str(root)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (8, 6), 'red').save(path)


def lines(entries: dict[str, str]) -> list[str]:
    """Return the list form of ``entries``."""
    return [
        ' '.join([f'Flickr/{entry}', *(str(int(concept in labels.split())) for concept in CONCEPTS)])
        for entry, labels in entries.items()
    ]


def contents(dataset: NUSWIDE) -> dict[str, str]:
    classes = dataset.metainfo['classes']
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {info['img_id']: ' '.join(classes[k] for k in info['gt_label']) for info in infos}


def settle(root: str | Path) -> None:
    """Wait until the files below ``root`` are old enough for the cache."""
    newest = max(path.stat().st_ctime for path in Path(root).rglob('*'))
    time.sleep(max(0.0, newest + SETTLED + 0.1 - time.time()))
