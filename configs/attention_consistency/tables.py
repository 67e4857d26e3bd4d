"""Tables 1 to 6 of attention consistency: published figures and the config of every row.

``t, r, s, f``: translation by 32 px, rotation by 90°, scaling, flip; ``fs``: the last two. ``+s`` trains on the views
as augmentation, ``+ACs`` asks for consistent attention as well; nothing else differs between the two.
"""

from mlic_mm.reproduction import Recipe, Row, Table

paper = dict(
    title='Visual Attention Consistency under Image Transforms for Multi-Label Image Classification',
    authors='Guo, Zheng, Fan, Yu & Wang',
    year=2019,
)

LABEL = {'F1-C': 'CF1', 'P-C': 'CP', 'R-C': 'CR', 'F1-O': 'OF1', 'P-O': 'OP', 'R-O': 'OR'}
COLUMNS_1 = {'mAP': 'mAP', 'mA': 'mA', **LABEL}
COLUMNS_4 = {'mAP': 'mAP', **LABEL}
COLUMNS_5 = {'mA': 'mA', 'Acc': 'Acc', 'Prec': 'Prec', 'Recall': 'Rec', 'F1-score': 'F1'}
# Added to those of the paper: it has no mAP for PA-100K.
COLUMNS_5_OURS = {**COLUMNS_5, 'mAP': 'mAP'}
COLUMNS_6 = {**COLUMNS_4, **{f'{head} top-3': f'{name}_top3' for head, name in LABEL.items()}}

TABLE_1 = """
R50        83.4 82.0 73.9 79.5 69.4 79.4 82.3 76.6
R50+t      83.7 83.4 74.1 75.6 72.8 79.5 80.6 78.4
R50+r      83.2 82.8 73.2 75.9 71.1 78.5 81.0 76.1
R50+s      83.9 83.0 74.4 77.7 71.7 79.4 81.3 77.6
R50+f      84.2 82.8 74.6 79.5 70.7 80.0 82.9 76.9
R50+ACt    83.9 84.0 74.2 74.5 74.2 79.2 79.7 78.7
R50+ACr    85.0 83.3 75.1 79.2 71.8 80.2 82.3 77.9
R50+ACs    85.6 82.7 75.3 81.9 70.1 80.6 84.5 77.1
R50+ACf    86.3 84.5 76.4 78.9 74.3 81.2 82.6 79.8
R50+ACfs   86.8 83.7 76.5 82.4 72.1 81.8 84.4 79.3
R101       84.8 83.2 75.5 80.5 71.5 80.6 83.6 77.8
R101+ACt   84.6 83.5 75.3 79.1 71.9 80.1 83.1 77.3
R101+ACr   86.0 84.2 76.2 79.5 73.6 81.2 83.2 79.4
R101+ACs   86.5 83.6 76.5 82.4 71.9 81.6 85.1 78.3
R101+ACf   87.1 84.7 77.4 80.9 74.5 82.1 83.8 80.5
R101+ACfs  87.5 85.0 77.6 81.3 74.8 82.4 84.1 80.7
"""

TABLE_4 = """
R-CNN             80.0 -    -    -    -    -    -
R*CNN             80.5 -    -    -    -    -    -
DHC               81.3 -    -    -    -    -    -
AR                82.9 -    -    -    -    -    -
ResNet101*        85.0 74.7 -    -    80.4 -    -
SRN               86.2 75.9 -    -    81.3 -    -
VAA               86.4 -    -    -    -    -    -
R50               83.4 73.9 79.5 69.4 79.4 82.3 76.6
R50+ACs           85.6 75.3 81.9 70.1 80.6 84.5 77.1
R50+ACf           86.3 76.4 78.9 74.3 81.2 82.6 79.8
R50+ACfs          86.8 76.5 82.4 72.1 81.8 84.4 79.3
R101              84.8 75.5 80.5 71.5 80.6 83.6 77.8
R101+ACs          86.5 76.5 82.4 71.9 81.6 85.1 78.3
R101+ACf          87.1 77.3 80.9 74.5 82.1 83.8 80.5
R101+ACfs         87.5 77.6 81.3 74.8 82.4 84.1 80.7
"""

TABLE_5 = """
DM        72.7  70.39 82.24 80.42 81.32
HP-Net    74.21 72.19 82.97 82.09 82.53
R50       78.12 75.23 88.47 83.41 85.86
R50+ACs   77.46 78.25 89.96 83.97 86.86
R50+ACf   79.05 79.46 90.21 85.10 87.58
R50+ACfs  79.16 79.44 88.97 86.26 87.59
"""

TABLE_6 = """
WARP           -    -    -    -    -    -    -    55.7 59.3 52.5 60.7 59.8 61.4
CNN-RNN        -    -    -    -    -    -    -    60.4 66.0 55.6 67.8 69.2 66.4
ResNet101*     75.2 69.5 80.8 63.4 74.4 82.1 68.0 65.9 84.3 57.4 71.7 86.5 61.3
ResNet101-SRN  77.1 71.2 81.6 65.4 75.8 82.7 69.9 67.4 85.2 58.8 72.9 87.4 62.5
R101           74.9 69.7 70.1 69.7 73.7 73.6 73.7 66.1 77.7 59.8 71.2 82.2 62.8
R101+ACs       76.8 70.1 83.3 62.1 74.9 85.7 66.5 66.3 87.6 56.3 72.0 89.6 60.1
R101+ACf       77.3 71.9 73.5 71.0 75.7 76.5 74.9 67.9 81.9 61.0 73.0 84.5 64.2
R101+ACfs      77.5 72.2 77.4 68.3 76.3 79.8 73.1 68.0 85.2 59.4 73.1 86.6 63.3
"""

RESNET101 = {
    'model.backbone.depth': 101,
    'model.backbone.init_cfg.checkpoint': 'https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet101_8xb32_in1k_20210831-539c63f8.pth',
}

# What two CPU cores train in minutes: 128 px, λ and learning rates chosen on a part of the training images.
MINI = 'attention_consistency/acfs_efficientnet-lite0_1xb16-2e_{}mini-128px.py'
MINI_WEIGHTS = {('voc07', 'ACfs'): 0.3}  # λ elsewhere 1


def published(text: str, columns: dict[str, str]) -> dict[str, dict[str, float]]:
    """Figures by row and heading."""
    table = {}
    for line in text.strip().splitlines():
        name, *figures = line.split()
        table[name] = {head: float(x) for head, x in zip(columns, figures, strict=True) if x != '-'}
    return table


def views(transforms: str, scaled: int) -> list[dict]:
    """Views of ``t``, ``r``, ``s``, ``f`` or ``fs``, which has the flipped and scaled image too."""
    each = {
        't': dict(type='mlic_mm.TranslateView', x=32),
        'r': dict(type='mlic_mm.Rotate90View'),
        's': dict(type='mlic_mm.ScaleView', size=scaled),
        'f': dict(type='mlic_mm.FlipView'),
    }
    chosen = [each[letter] for letter in transforms]
    return chosen if len(chosen) < 2 else [*chosen, dict(type='mlic_mm.ComposeView', views=chosen)]


def recipe(config: str, variant: str, scaled: int, preset: str, **options: object) -> Recipe:
    """A config with the transforms after the ``+`` of a row; the test measures inconsistency besides."""
    transforms = variant.removeprefix('AC')
    changes: dict[str, object] = {'model.objectives.consistency': None}
    if transforms:
        changes = {'model.objectives.consistency.views': views(transforms, scaled)}
        if not variant.startswith('AC'):
            changes['model.objectives.consistency.loss'] = False
    measured = {
        'model.objectives.consistency': dict(
            _delete_=True, type='mlic_mm.AttentionConsistency', views=views('fs', scaled), loss=False, measure=True
        ),
        'test_evaluator': [dict(type='mlic_mm.MLICMetric', preset=preset), dict(type='mlic_mm.AttentionInconsistency')],
    }
    return Recipe(config, changes | options, measured)


def wider(name: str, figures: dict[str, float]) -> Row:
    backbone, _, variant = name.partition('+')
    options = RESNET101 if backbone == 'R101' else {}
    return Row(
        name=name,
        published=figures,
        recipe=recipe('attention_consistency_wider.py', variant, 192, 'guo', **options),
        mini='there are no photographs of WIDER Attribute here: Table 5 has the same rows on crops of pedestrians',
    )


def level(name: str, figures: dict[str, float]) -> Row:
    """A row of Table 3, R50+ACf with another level."""
    options = {'model.objectives.consistency.loss.level': name}
    return Row(
        name=name,
        published=figures,
        recipe=recipe('attention_consistency_wider.py', 'ACf', 192, 'guo', **options),
        mini=recipe(MINI.format('pa100k'), 'ACf', 96, 'pedestrian', **options),
    )


def small(name: str, figures: dict[str, float], config: str, data: str, scaled: int, preset: str) -> Row:
    """A row of Table 5 or 6."""
    variant = name.partition('+')[2]
    weight = MINI_WEIGHTS.get((data, variant))
    return Row(
        name=name,
        published=figures,
        recipe=recipe(config, variant, scaled, preset),
        mini=recipe(
            MINI.format(data),
            variant,
            96,
            preset,
            **{'model.objectives.consistency.loss.loss_weight': weight} if weight else {},
        ),
    )


def with_controls(rows: dict[str, dict[str, float]], plain: str) -> list[tuple[str, dict[str, float]]]:
    """Rows of the paper, and after the plain one those with the views as augmentation, which it leaves out."""
    controls = [(f'{plain}+{transforms}', {}) for transforms in ('s', 'f', 'fs')]
    at = list(rows).index(plain) + 1
    return [*list(rows.items())[:at], *controls, *list(rows.items())[at:]]


def own(name: str) -> bool:
    return name.startswith(('R50', 'R101'))


def compare(plain: str) -> list[tuple[str, str]]:
    """Method and augmentation, method and plain training."""
    pairs = [(f'{plain}+AC{transforms}', f'{plain}+{transforms}') for transforms in ('s', 'f', 'fs')]
    return [*pairs, *((method, plain) for method, _ in pairs)]


tables = [
    Table(
        name='1',
        title='Transforms as augmentation and as attention consistency on WIDER Attribute',
        columns=COLUMNS_1,
        preset='guo',
        rows=[wider(*row) for row in [*published(TABLE_1, COLUMNS_1).items(), ('R50+fs', {})]],
        compare=[*compare('R50'), *((f'R50+AC{x}', f'R50+{x}') for x in 'tr')],
    ),
    Table(
        name='2',
        title='Attention inconsistency under flip and scaling',
        columns={'flip': 'inconsistency_flip', 'scale': 'inconsistency_scale_*'},
        preset=None,
        rows=[
            Row(name='baseline', published={'flip': 93.23, 'scale': 64.34}, same_as='1/R50'),
            Row(name='proposed', published={'flip': 2.85, 'scale': 0.74}, same_as='1/R50+ACfs'),
            *(
                Row(name=f'{name} on PA-100K', same_as=f'5/{name}')
                for name in ('R50', 'R50+fs', 'R50+ACf', 'R50+ACs', 'R50+ACfs')
            ),
            *(
                Row(name=f'{name} on COCO', same_as=f'6/{name}')
                for name in ('R101', 'R101+fs', 'R101+ACf', 'R101+ACs', 'R101+ACfs')
            ),
        ],
    ),
    Table(
        name='3',
        title='Level of the consistency under flip',
        columns={'mAP': 'mAP'},
        preset='guo',
        rows=[
            level('feature', {'mAP': 85.1}),
            Row(name='attention', published={'mAP': 86.3}, same_as='1/R50+ACf'),
            level('label', {'mAP': 85.4}),
        ],
    ),
    Table(
        name='4',
        title='Other methods on WIDER Attribute',
        columns=COLUMNS_4,
        preset='guo',
        rows=[
            Row(name=name, published=figures, same_as=f'1/{name}' if own(name) else None)
            for name, figures in published(TABLE_4, COLUMNS_4).items()
        ],
    ),
    Table(
        name='5',
        title='PA-100K',
        columns=COLUMNS_5_OURS,
        preset='pedestrian',
        rows=[
            small(name, figures, 'attention_consistency_pa100k.py', 'pa100k', 192, 'pedestrian')
            if own(name)
            else Row(name=name, published=figures)
            for name, figures in with_controls(published(TABLE_5, COLUMNS_5), 'R50')
        ],
        compare=compare('R50'),
    ),
    Table(
        name='6',
        title='COCO 2014 at 288 px',
        columns=COLUMNS_6,
        preset='guo',
        rows=[
            small(name, figures, 'attention_consistency_coco.py', 'voc07', 256, 'guo')
            if own(name)
            else Row(name=name, published=figures)
            for name, figures in with_controls(published(TABLE_6, COLUMNS_6), 'R101')
        ],
        compare=compare('R101'),
    ),
]
