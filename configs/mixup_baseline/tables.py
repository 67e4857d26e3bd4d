"""Tables 2 and 3 of the mixup baseline: published figures and the config of every row.

Rows are named data set / base model / augmentation / size: NUS, COCO or VOC; V (VGG16) or R (ResNet-101); M1 flips,
M2 flips and random resized crops, M3 = M2 and mixup.
"""

import os
from pathlib import Path

from mmengine.config import Config

from mlic_mm.reproduction import Recipe, Row, Table

paper = dict(
    title='A Baseline for Multi-Label Image Classification Using an Ensemble of Deep Convolutional Neural Networks',
    authors='Wang, Jia & Breckon',
    year=2018,
)

# Label-centric and overall figures of the three labels scored highest, whatever their scores.
COLUMNS = {'mAP': 'mAP', 'L-P': 'CP', 'L-R': 'CR', 'L-F1': 'CF1', 'O-P': 'OP', 'O-R': 'OR', 'O-F1': 'OF1'}
SIZES = (384, 448, 512)
HEADLINE = {'NUS': 'mixup_baseline_nuswide.py', 'COCO': 'mixup_baseline_coco.py', 'VOC': 'mixup_baseline_voc07.py'}
NUM_CLASSES = {'NUS': 81, 'COCO': 80, 'VOC': 20}

# What two CPU cores train in minutes.
MINI = 'mixup_baseline/mixup_efficientnet-lite0_1xb16-4e_voc07mini-128px.py'
MINI_SIZES = {384: 112, 448: 128, 512: 160}

# One line a row: mAP, L-P, L-R, L-F1, O-P, O-R, O-F1.
TABLE_2 = """
NUS/V/M1/384  55.8 37.7 57.3 42.2 54.0 66.5 59.6
NUS/V/M1/448  55.5 37.1 57.0 41.6 53.9 66.3 59.5
NUS/V/M1/512  56.5 39.4 57.0 43.1 54.3 66.9 59.9
NUS/V/M2/384  58.9 46.6 55.0 46.1 55.9 68.9 61.7
NUS/V/M2/448  59.0 45.7 55.1 46.6 55.9 68.9 61.7
NUS/V/M2/512  58.8 45.9 55.0 46.5 55.9 68.8 61.7
NUS/V/M3/384  58.8 46.5 54.9 47.0 55.9 68.8 61.7
NUS/V/M3/448  58.5 46.5 54.4 46.7 55.9 68.8 61.7
NUS/V/M3/512  58.3 46.4 54.3 46.6 55.9 68.8 61.6
NUS/R/M1/384  59.0 44.6 56.8 45.0 56.3 69.3 62.1
NUS/R/M1/448  59.2 44.1 57.0 45.9 56.4 69.4 62.2
NUS/R/M1/512  59.2 44.1 57.0 45.9 56.4 69.4 62.2
NUS/R/M2/384  60.8 46.1 60.6 48.4 56.1 69.0 61.9
NUS/R/M2/448  60.8 45.8 60.6 49.2 56.2 69.2 62.0
NUS/R/M2/512  60.6 45.4 60.9 49.0 56.1 69.0 61.9
NUS/R/M3/384  60.3 45.2 60.1 48.8 56.2 69.2 62.0
NUS/R/M3/448  60.5 45.1 60.2 48.8 56.2 69.2 62.0
NUS/R/M3/512  60.1 46.1 59.5 49.0 56.2 69.2 62.0
COCO/V/M1/384 71.6 55.2 61.6 56.5 62.6 64.7 63.6
COCO/V/M1/448 71.4 54.7 61.6 56.2 62.5 64.6 63.5
COCO/V/M1/512 72.3 55.3 62.0 56.8 63.0 65.1 64.0
COCO/V/M2/384 75.2 63.2 62.5 62.7 64.6 66.7 65.7
COCO/V/M2/448 75.8 63.1 63.3 61.7 65.0 67.1 66.0
COCO/V/M2/512 76.0 63.3 63.4 62.5 65.0 67.2 66.1
COCO/V/M3/384 75.1 64.2 62.3 63.1 64.7 66.9 65.8
COCO/V/M3/448 75.9 64.3 62.6 63.4 65.0 67.1 66.1
COCO/V/M3/512 75.8 64.3 62.6 63.4 65.0 67.1 66.1
COCO/R/M1/384 78.4 65.3 65.1 64.6 66.7 68.9 67.8
COCO/R/M1/448 79.3 63.0 66.2 64.1 66.9 69.1 68.0
COCO/R/M1/512 79.0 65.9 65.5 65.1 67.1 69.3 68.1
COCO/R/M2/384 79.8 68.9 66.2 65.7 67.2 69.4 68.2
COCO/R/M2/448 80.7 69.4 67.0 66.4 67.7 69.9 68.8
COCO/R/M2/512 80.9 69.6 66.9 68.4 67.9 70.2 69.0
COCO/R/M3/384 79.9 66.3 67.1 65.5 67.2 69.4 68.3
COCO/R/M3/448 81.1 66.9 67.7 66.0 67.8 70.0 68.9
COCO/R/M3/512 81.3 68.1 67.7 66.5 67.9 70.1 69.0
VOC/V/M1/384  89.1 40.0 92.1 54.9 44.1 93.5 59.9
VOC/V/M1/448  89.3 39.3 92.1 54.2 44.1 93.4 59.9
VOC/V/M1/512  89.2 39.9 91.9 54.7 44.1 93.4 59.9
VOC/V/M2/384  89.3 45.4 91.8 59.5 44.2 93.7 60.1
VOC/V/M2/448  89.6 45.3 92.3 59.5 44.3 93.9 60.2
VOC/V/M2/512  89.3 44.8 92.1 59.1 44.3 93.8 60.2
VOC/V/M3/384  89.9 41.0 92.9 56.2 44.5 94.2 60.4
VOC/V/M3/448  90.0 40.5 92.8 55.7 44.5 94.3 60.5
VOC/V/M3/512  90.2 42.0 92.8 57.0 44.4 94.2 60.4
VOC/R/M1/384  93.4 40.5 94.8 55.9 45.1 95.6 61.3
VOC/R/M1/448  94.1 40.8 95.5 56.3 45.5 96.3 61.8
VOC/R/M1/512  94.2 41.4 95.4 56.7 45.5 96.3 61.8
VOC/R/M2/384  92.4 44.9 94.1 60.1 45.1 95.5 61.2
VOC/R/M2/448  92.7 44.9 94.0 60.0 45.1 95.5 61.2
VOC/R/M2/512  92.9 45.6 94.7 60.7 45.3 96.0 61.6
VOC/R/M3/384  93.2 42.0 94.8 57.5 45.2 95.8 61.5
VOC/R/M3/448  93.6 42.0 95.1 57.4 45.3 96.1 61.6
VOC/R/M3/512  93.8 42.3 95.6 57.7 45.5 96.4 61.8
"""

TABLE_3 = """
NUS/V/CNN-RNN           -    40.5 30.4 34.7 49.9 61.7 55.2
NUS/V/RLSD              54.1 44.4 49.6 46.9 54.4 67.6 60.3
NUS/V/WARP              -    43.8 57.1 -    54.5 67.9 60.5
NUS/V/Single Best       59.0 45.7 55.1 46.6 55.9 68.9 61.7
NUS/V/ScaleEn           59.1 47.2 54.9 47.2 56.1 69.0 61.9
NUS/V/DistrEn           59.3 47.0 55.0 47.0 56.2 69.1 62.0
NUS/R/ResNet-SRN-att    61.8 47.4 57.7 47.7 56.2 69.6 62.2
NUS/R/ResNet-SRN        62.0 48.2 58.9 48.9 56.2 69.6 62.2
NUS/R/Single Best       60.8 45.8 60.6 49.2 56.2 69.2 62.0
NUS/R/ScaleEn           61.7 46.9 60.5 49.9 56.7 69.7 62.5
NUS/R/DistrEn           62.0 46.8 61.1 49.9 56.7 69.8 62.6
COCO/V/WARP             -    55.5 57.4 -    59.6 61.5 60.5
COCO/V/Ranking          -    57.0 57.8 -    60.2 62.2 61.2
COCO/V/RLSD             67.4 -    -    -    -    -    -
COCO/V/Single Best      75.9 64.3 62.6 63.4 65.0 67.1 66.1
COCO/V/ScaleEn          76.5 65.2 63.0 64.0 65.4 67.5 66.4
COCO/V/DistrEn          76.8 64.8 63.6 63.2 65.5 67.7 66.6
COCO/R/ResNet-SRN       77.1 -    -    -    -    -    -
COCO/R/WILDCAT          80.7 -    -    -    -    -    -
COCO/R/Single Best      81.3 68.1 67.7 66.5 67.9 70.1 69.0
COCO/R/ScaleEn          82.2 68.7 68.3 67.3 68.4 70.6 69.5
COCO/R/DistrEn          82.4 70.4 68.0 69.4 68.6 70.8 69.7
VOC/V/CNN-RNN           84.0 -    -    -    -    -    -
VOC/V/AttRegion         91.9 -    -    -    -    -    -
VOC/V/RLSD              87.3 50.5 90.6 64.9 47.5 92.4 62.7
VOC/V/RCP               92.5 -    -    -    -    -    -
VOC/V/Single Best       90.2 42.0 92.8 57.0 44.4 94.2 60.4
VOC/V/ScaleEn           90.5 41.4 93.1 56.6 44.6 94.5 60.6
VOC/V/DistrEn           90.6 43.0 93.3 58.1 44.7 94.6 60.7
VOC/R/WILDCAT           95.0 -    -    -    -    -    -
VOC/R/Single Best       94.2 41.4 95.4 56.7 45.5 96.3 61.8
VOC/R/ScaleEn           94.5 41.2 95.7 56.7 45.5 96.5 61.9
VOC/R/DistrEn           94.7 42.0 95.8 57.5 45.6 96.6 62.0
"""

# Which row of Table 2 the figures of "Single Best" are. The paper chose them on the test images.
SINGLE_BEST = {
    'NUS/V': 'M2/448',
    'NUS/R': 'M2/448',
    'COCO/V': 'M3/448',
    'COCO/R': 'M3/512',
    'VOC/V': 'M3/512',
    'VOC/R': 'M1/512',
}


def published(text: str) -> dict[str, dict[str, float]]:
    """Figures by row and heading."""
    table = {}
    for line in text.strip().splitlines():
        name, *figures = line.rsplit(maxsplit=len(COLUMNS))
        table[name] = {head: float(x) for head, x in zip(COLUMNS, figures, strict=True) if x != '-'}
    return table


def steps(size: int, augmentation: str, **load: int) -> tuple[list, list]:
    """Pipelines of training and testing. Images are squished, not cropped, in M1 and in testing."""
    first = dict(type='mlic_mm.LoadImage', **load)
    squish = dict(type='Resize', scale=(size, size))
    crop = squish if augmentation == 'M1' else dict(type='RandomResizedCrop', scale=size)
    flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
    return [first, crop, flip, pack], [first, squish, pack]


def variant(size: int, augmentation: str, **load: int) -> dict:
    """What differs between M1, M2, M3 and the sizes."""
    train, test = steps(size, augmentation, **load)
    options = {'train_dataloader.dataset.pipeline': train, 'test_dataloader.dataset.pipeline': test}
    if augmentation != 'M3':
        options |= {'model.train_cfg': None, 'default_hooks.alternate': None}
    return options


def vgg16(num_classes: int) -> dict:
    """The other base model."""
    model = Config.fromfile(Path(__file__).parents[1] / '_base_/models/mixup_baseline_vgg16.py').model
    model.head.num_classes = num_classes
    model.head.loss.loss_weight = 1 / num_classes
    return {f'model.{part}': dict(_delete_=True, **model[part]) for part in ('backbone', 'neck', 'head')}


def coco_mini() -> dict:
    """Data of the small COCO in place of the small VOC."""
    options = {'data_preprocessor.num_classes': 80, 'model.head.num_classes': 80}
    for loader, split in (('train', 'train'), ('test', 'val')):
        dataset = dict(
            type='mlic_mm.COCOMultiLabel',
            data_root=os.environ.get('COCO_ROOT', 'data/coco_mini'),
            ann_file=f'annotations/instances_{split}2017.json',
            data_prefix=f'{split}2017',
        )
        options[f'{loader}_dataloader.dataset'] = dict(_delete_=True, test_mode=loader == 'test', **dataset)
    return options


def mini(data: str, model: str, augmentation: str, size: int) -> Recipe | str:
    """The same row with EfficientNet-Lite0 and 112, 128 or 160 pixels."""
    if model == 'V':
        return f"one small backbone stands for both: run '{data}/R/{augmentation}/{size}'"
    if data == 'NUS':
        return 'there are no photographs in the small NUS-WIDE'
    small = MINI_SIZES[size]
    options = variant(small, augmentation, short_side=small * 5 // 4, cache_mb=1000)
    return Recipe(MINI, (coco_mini() if data == 'COCO' else {}) | options)


def single(name: str, figures: dict[str, float]) -> Row:
    data, model, augmentation, size = name.split('/')
    options = variant(int(size), augmentation)
    if model == 'V':
        options |= vgg16(NUM_CLASSES[data])
    return Row(
        name=name,
        published=figures,
        recipe=Recipe(HEADLINE[data], options),
        mini=mini(data, model, augmentation, int(size)),
    )


def fused(name: str, figures: dict[str, float]) -> Row:
    data_model, method = name.rsplit('/', 1)
    if method == 'Single Best':
        return Row(name=name, published=figures, same_as=f'2/{data_model}/{SINGLE_BEST[data_model]}')
    # Three sizes of M3, of M1 for ResNet-101 on VOC; M2 and M3 at 512.
    kind = 'M1' if data_model == 'VOC/R' else 'M3'
    members = {
        'ScaleEn': [f'2/{data_model}/{kind}/{size}' for size in SIZES],
        'DistrEn': [f'2/{data_model}/{augmentation}/512' for augmentation in ('M2', 'M3')],
    }
    return Row(name=name, published=figures, fuse=members.get(method, ()))


tables = [
    Table(
        name='2',
        title='Base model, augmentation and image size on three data sets',
        columns=COLUMNS,
        preset='wang',
        rows=[single(*row) for row in published(TABLE_2).items()],
    ),
    Table(
        name='3',
        title='Ensembles of sizes (ScaleEn) and of augmentations (DistrEn) beside the best single model',
        columns=COLUMNS,
        preset='wang',
        rows=[fused(*row) for row in published(TABLE_3).items()],
        compare=[
            (f'{group}/{ensemble}', f'{group}/Single Best')
            for group in SINGLE_BEST
            for ensemble in ('ScaleEn', 'DistrEn')
        ],
    ),
]
