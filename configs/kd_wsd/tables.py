"""Tables 1 to 5 of knowledge distillation from weakly supervised detection: published figures and every row's config.

S-Cls is the student, T-WDet the teacher, which is trained first wherever a row needs it. Rows of Table 3 begin with
their data set.
"""

from pathlib import Path

from mmengine.config import Config

from mlic_mm.config_files.config_file import read_config
from mlic_mm.reproduction import Recipe, Row, Table

paper = dict(
    title='Multi-Label Image Classification via Knowledge Distillation from Weakly-Supervised Detection',
    authors='Liu, Sheng, Shao, Yan, Xiang & Pan',
    year=2018,
)

# One threshold for all labels, tuned on the test images as in the paper; the three labels scored highest.
COLUMNS = {'mAP': 'mAP', 'F1-C': 'CF1', 'F1-O': 'OF1', 'top-3 F1-C': 'CF1_top3', 'top-3 F1-O': 'OF1_top3'}
MAP = {'mAP': 'mAP'}

TABLE_1 = """
CNN-RNN              -    -    -    60.4 67.8
CNN-LSEP             -    62.9 68.3 -    -
CNN-SREL-RNN         -    63.4 72.5 -    -
RMAM (512+10crop)    72.2 -    -    66.5 71.3
RARLF (512+10crop)   -    -    -    65.6 70.5
MIML-FCN-BB          66.2 -    -    -    -
MCG-CNN-LSTM         64.4 -    -    58.1 61.3
RLSD                 68.2 -    -    62.0 66.5
S-Cls                70.9 63.6 67.0 60.7 66.7
Distillation         71.3 64.7 69.3 61.5 67.6
FitNets              72.5 65.2 70.9 62.3 68.3
Attention transfer   71.4 64.6 69.8 61.6 67.8
S-Cls distilled      74.6 69.2 74.0 66.8 72.7
"""

TABLE_2 = """
CNN-RNN              -    -    -    34.7 55.2
Tag-Neighbors        52.8 -    -    45.2 62.5
CNN-LSEP             -    52.9 70.8 -    -
CNN-SREL-RNN         -    52.8 71.0 -    -
MCG-CNN-LSTM         52.4 -    -    46.1 59.9
RLSD                 54.1 -    -    46.9 60.3
KCCA                 52.2 -    -    -    -
S-Cls                55.6 52.0 67.2 47.5 64.8
Distillation         57.2 54.3 69.5 50.3 67.5
FitNets              57.4 54.9 70.4 51.4 68.6
Attention transfer   57.6 55.2 70.3 51.7 68.8
S-Cls distilled      60.1 58.7 73.7 53.8 71.1
"""

OWN = ('S-Cls', 'Distillation', 'FitNets', 'Attention transfer', 'S-Cls distilled')
DATA = {'coco': 'COCO', 'nuswide': 'NUS'}
TEACHERS = {data: f'wsddn_vgg16_1xb32-20e_{data}-672px' for data in DATA}
# Students without features, or with all losses at once, have the schedule of stage 2.
ONE_STAGE = {
    'default_hooks.distill_stage': None,
    'param_scheduler': [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)],
    'train_cfg.max_epochs': 30,
}
# conv3_3, conv4_3 and conv5_3 by their place among the layers of mmpretrain, with the factors of attention transfer of
# its authors: 1000 over the cells of a map at 224 pixels.
LAYERS = {f'backbone.features.{n}': 1000 / side**2 for n, side in ((8, 56), (12, 28), (16, 14))}

# What two CPU cores train in minutes: students at 128 px, a teacher in a cache. The first five stages are frozen.
MINI_TEACHER = 'wsddn_efficientnet-lite0_1xb8-2e_voc07mini-256px'
MINI_KD = 'kd_wsd/kd-wsd_efficientnet-lite0_1xb16-3e_voc07mini-128px.py'
MINI_STUDENT = 'kd_wsd/student_efficientnet-lite0_1xb16-2e_voc07mini-128px.py'
MINI_ONE_STAGE = {
    'default_hooks.distill_stage': None,
    'param_scheduler': [dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)],
    'train_cfg.max_epochs': 2,
}
# Hints train better at the full rate.
MINI_FITNETS = {
    'param_scheduler': [
        dict(type='CosineAnnealingLR', begin=1, end=3, T_max=2, by_epoch=True, convert_to_iter_based=True)
    ]
}
MINI_LAYERS = {'backbone.timm_model.blocks.5': 5.0, 'backbone.timm_model.blocks.6': 5.0, '': 5.0}
NO_NUS = 'there are no photographs in the small NUS-WIDE'

# The detector's file has the proposals of its first stage; the paper took its detections, as many.
DETECTED = dict(file='data/proposals/coco2014_faster-rcnn.st', num=100)


def published(text: str) -> dict[str, dict[str, float]]:
    """Figures by row and heading."""
    table = {}
    for line in text.strip().splitlines():
        name, *figures = line.rsplit(maxsplit=len(COLUMNS))
        table[name] = {head: float(x) for head, x in zip(COLUMNS, figures, strict=True) if x != '-'}
    return table


def read(config: str) -> Config:
    return read_config(Path(__file__).parents[1] / config)


def hinton(data: str) -> dict:
    """Temperatures that the paper tuned, of teacher and student; on the small data, ours."""
    softer, student = dict(coco=(1.0, 5.0), nuswide=(2.0, 5.0), mini=(1.0, 1.0))[data]
    return dict(type='mlic_mm.HintonDistillLoss', teacher_temperature=softer, student_temperature=student)


def attention(layers: dict[str, float]) -> dict[str, dict]:
    """Attention transfer at some layers with their factors."""
    kind = 'mlic_mm.AttentionTransferLoss'
    return {
        f'attention_{n}': dict(type=kind, student_layer=layer, loss_weight=weight)
        for n, (layer, weight) in enumerate(layers.items(), start=1)
    }


def losses(method: str, config: str, layers: dict[str, float], data: str) -> tuple[dict[str, dict], bool]:
    """Losses of a method by name, and whether those of features have a stage of their own."""
    own = read(config).model.objectives.teacher.losses.to_dict()
    hint = dict(type='mlic_mm.FitNetsLoss', student_layer=next(iter(layers)))
    return {
        'Distillation': (dict(prediction=hinton(data)), False),
        'FitNets': (dict(hint=hint, prediction=hinton(data)), True),
        'Attention transfer': (dict(attention(layers), prediction=hinton(data)), False),
        'Class-aware': (dict(prediction=own['prediction']), False),
        'NMS proposals + class-aware': (own | dict(roi=dict(own['roi'], weighted=False)), True),
        'S-Cls distilled': (own, True),
    }[method]


def full(method: str, data: str) -> Recipe:
    """A student at 224 px with the teacher beside it."""
    if method == 'S-Cls':
        return Recipe(f'kd_wsd/student_vgg16_1xb32-30e_{data}-224px.py')
    config = f'kd_wsd_{data}.py'
    distill, two_stages = losses(method, config, LAYERS, data)
    options = {'model.objectives.teacher.losses': dict(_delete_=True, **distill)} | ({} if two_stages else ONE_STAGE)
    return Recipe(config, options, requires={f'work_dirs/{TEACHERS[data]}': f'3/{DATA[data]}/T-WDet'})


def mini(method: str, data: str) -> Recipe | str:
    """The same on the small VOC, which stands for COCO, with the teacher in a cache."""
    if data == 'nuswide':
        return NO_NUS
    if method == 'S-Cls':
        return Recipe(MINI_STUDENT)
    distill, two_stages = losses(method, MINI_KD, MINI_LAYERS, 'mini')
    schedule = {} if two_stages else MINI_ONE_STAGE
    if method == 'FitNets':
        schedule = MINI_FITNETS
    options = {'model.objectives.teacher.losses': dict(_delete_=True, **distill)} | schedule
    folder = f'work_dirs/{MINI_TEACHER}'
    layers = ' '.join(layer or 'backbone' for layer in MINI_LAYERS)
    cache = f'{folder}/{MINI_TEACHER}.py {folder}/epoch_2.pth --out {folder}/cache --num-regions 30 --layers {layers}'
    return Recipe(MINI_KD, options, requires={folder: '3/COCO/T-WDet'}, setup=[f'cache_teacher.py {cache}'])


def student(method: str, figures: dict[str, float], data: str) -> Row:
    return Row(name=method, published=figures, recipe=full(method, data), mini=mini(method, data))


def teacher(data: str, figure: float) -> Row:
    return Row(
        name=f'{DATA[data]}/T-WDet',
        published={'mAP': figure},
        recipe=Recipe(f'kd_wsd/{TEACHERS[data]}.py'),
        mini=NO_NUS if data == 'nuswide' else Recipe(f'kd_wsd/{MINI_TEACHER}.py'),
    )


def compared(table: str, data: str) -> list[Row]:
    """Rows of Table 1 or 2."""
    return [
        student(name, figures, data) if name in OWN else Row(name=name, published=figures)
        for name, figures in published(table).items()
    ]


def pipeline(config: str, loader: str) -> list[dict]:
    """Pipeline of a config with the proposals of Faster R-CNN."""
    steps = read(config)[loader].dataset.pipeline
    return [step | DETECTED if step.type == 'mlic_mm.LoadProposals' else step for step in steps]


def detected(name: str, figure: float) -> Row:
    """A row of Table 5 with the proposals of Faster R-CNN."""
    if name.startswith('T-WDet'):
        config = f'kd_wsd/{TEACHERS["coco"]}.py'
        loaders = ('train_dataloader', 'test_dataloader')
        recipe = Recipe(config, {f'{loader}.dataset.pipeline': pipeline(config, loader) for loader in loaders})
    else:
        config = 'kd_wsd_coco.py'
        options = {
            'train_dataloader.dataset.pipeline': pipeline(config, 'train_dataloader'),
            'model.objectives.teacher.losses.prediction.num_proposals': DETECTED['num'],
        }
        recipe = Recipe(config, options, requires={f'work_dirs/{TEACHERS["coco"]}': '5/T-WDet (Faster R-CNN)'})
    return Row(name=name, published={'mAP': figure}, recipe=recipe, mini='there is no trained detector for small data')


RIVALS = [('S-Cls distilled', name) for name in OWN[:-1]] + [(name, 'S-Cls') for name in OWN[1:-1]]

tables = [
    Table(
        name='1',
        title='Other methods and distillations on COCO 2014',
        columns=COLUMNS,
        preset='liu',
        rows=compared(TABLE_1, 'coco'),
        compare=RIVALS,
    ),
    Table(
        name='2',
        title='Other methods and distillations on NUS-WIDE',
        columns=COLUMNS,
        preset='liu',
        rows=compared(TABLE_2, 'nuswide'),
        compare=RIVALS,
    ),
    Table(
        name='3',
        title='Student without and with distillation, and teacher',
        columns=MAP,
        preset='liu',
        rows=[
            Row(name='COCO/S-Cls', published={'mAP': 70.9}, same_as='1/S-Cls'),
            teacher('coco', 78.6),
            Row(name='COCO/S-Cls distilled', published={'mAP': 74.6}, same_as='1/S-Cls distilled'),
            Row(name='NUS/S-Cls', published={'mAP': 55.6}, same_as='2/S-Cls'),
            teacher('nuswide', 58.2),
            Row(name='NUS/S-Cls distilled', published={'mAP': 60.1}, same_as='2/S-Cls distilled'),
        ],
        compare=[(f'{data}/S-Cls distilled', f'{data}/S-Cls') for data in DATA.values()],
    ),
    Table(
        name='4',
        title='Parts of the distillation on COCO 2014',
        columns=MAP,
        preset='liu',
        rows=[
            Row(name='Baseline', published={'mAP': 70.9}, same_as='1/S-Cls'),
            Row(name='Distillation', published={'mAP': 71.3}, same_as='1/Distillation'),
            student('Class-aware', {'mAP': 72.1}, 'coco'),
            student('NMS proposals + class-aware', {'mAP': 73.8}, 'coco'),
            Row(name='RoI-aware + class-aware', published={'mAP': 74.6}, same_as='1/S-Cls distilled'),
        ],
        compare=[
            ('Class-aware', 'Baseline'),
            ('Class-aware', 'Distillation'),
            ('NMS proposals + class-aware', 'Class-aware'),
            ('RoI-aware + class-aware', 'Class-aware'),
            ('RoI-aware + class-aware', 'NMS proposals + class-aware'),
        ],
    ),
    Table(
        name='5',
        title='Proposals of EdgeBoxes and of Faster R-CNN on COCO 2014',
        columns=MAP,
        preset='liu',
        rows=[
            Row(name='Baseline', published={'mAP': 70.9}, same_as='1/S-Cls'),
            Row(name='T-WDet (EdgeBoxes)', published={'mAP': 78.6}, same_as='3/COCO/T-WDet'),
            Row(name='S-Cls (EdgeBoxes)', published={'mAP': 74.6}, same_as='1/S-Cls distilled'),
            detected('T-WDet (Faster R-CNN)', 81.1),
            detected('S-Cls (Faster R-CNN)', 76.3),
        ],
        compare=[('S-Cls (Faster R-CNN)', 'S-Cls (EdgeBoxes)'), ('T-WDet (Faster R-CNN)', 'T-WDet (EdgeBoxes)')],
    ),
]
