# ruff: noqa: E501  (a line a row)
"""Tables I to VI of Deep-LIFT: published figures and the config of every row. Fig. 6 is a table of its own, ``fig6``.

Rows of Tables III to VI are named data set / variant.
"""

from mlic_mm.reproduction import Recipe, Row, Table

paper = dict(
    title='Deep-LIFT: Deep Label-Specific Feature Learning for Image Annotation',
    authors='Li et al.',
    year=2021,
)

HEADLINE = {'COCO': 'deeplift_coco.py', 'VOC': 'deeplift_voc07.py'}
MINI = {
    'COCO': 'deep_lift/deeplift_efficientnet-lite0-agcn_1xb32-12e_cocomini-128px.py',
    'VOC': 'deep_lift/deeplift_efficientnet-lite0-agcn_1xb32-5e_voc07mini-128px.py',
}
GRAPH = 'model.head.label_graph'
LAYER = f'{GRAPH}.layer'

ALL = ('mAP', 'CP', 'CR', 'CF1', 'OP', 'OR', 'OF1')
TOP3 = ('CP', 'CR', 'CF1', 'OP', 'OR', 'OF1')
COLUMNS_1 = {name: name for name in ALL} | {f'{name} top-3': f'{name}_top3' for name in TOP3}
TABLE_1 = """
WARP                     58.8 61.2 46.3 55.6 65.6 52.9 58.3 59.3 52.5 55.7 59.8 61.4 60.7
CNN-RNN                  61.5 64.8 50.4 58.6 68.7 56.8 61.1 66.3 56.7 61.4 69.1 66.3 68.6
RLSD                     63.4 66.4 50.9 60.8 69.3 56.4 62.8 67.6 57.2 62.0 70.1 63.4 66.5
RNN-Attention            74.3 76.6 61.6 69.3 79.2 67.8 73.6 79.1 58.7 67.4 84.0 63.0 72.0
Order-Free RNN           72.8 75.9 60.5 68.2 77.6 66.5 71.9 73.8 54.5 61.7 78.3 62.0 68.7
KD-WSD                   74.6 77.3 61.8 69.1 79.5 67.6 73.4 80.9 55.8 64.8 84.2 61.6 72.2
SRN                      76.0 80.1 63.9 70.6 81.7 68.8 74.6 84.4 57.4 66.3 86.3 61.5 71.2
ResNet-101               76.1 79.4 64.9 71.5 82.3 69.4 75.3 83.1 57.9 68.6 88.5 61.4 72.6
Multi-Evidence           78.1 80.1 69.5 73.5 84.2 71.7 77.6 83.2 61.3 69.6 88.4 63.5 73.8
ACfs                     78.6 80.3 69.2 73.2 80.9 74.1 77.4 86.2 60.4 69.3 87.6 64.3 74.3
ML-GCN (Binary)          80.2 81.5 69.4 75.1 83.6 74.2 78.4 85.6 61.4 71.4 88.5 65.3 75.3
ML-GCN (Re-weighted)     81.7 83.3 70.1 76.2 86.1 74.5 79.9 86.9 62.5 72.7 90.3 65.3 75.3
Deep-LIFT (RGCN)         81.8 83.6 70.0 76.6 85.5 74.3 79.9 86.0 63.0 73.1 90.1 65.4 75.8
Deep-LIFT (AGCN)         82.2 85.4 70.9 77.5 86.4 74.6 80.1 87.5 63.2 73.4 90.6 66.0 76.4
"""

# Headings as printed, classes as VOC names them.
VOC = {
    'aero': 'aeroplane', 'bike': 'bicycle', 'bird': 'bird', 'boat': 'boat', 'bottle': 'bottle', 'bus': 'bus',
    'car': 'car', 'cat': 'cat', 'chair': 'chair', 'cow': 'cow', 'table': 'diningtable', 'dog': 'dog',
    'horse': 'horse', 'motor': 'motorbike', 'person': 'person', 'plant': 'pottedplant', 'sheep': 'sheep',
    'sofa': 'sofa', 'train': 'train', 'tv': 'tvmonitor',
}  # fmt: skip
COLUMNS_2 = {heading: f'AP/{name}' for heading, name in VOC.items()} | {'mAP': 'mAP'}
TABLE_2 = """
CNN-RNN                  96.8 85.5 94.4 92.4 62.3 82.3 89.2 94.4 64.5 83.7 70.2 92.2 91.4 84.3 93.2 59.4 93.4 75.7 99.5 78.8 84.2
RMIC                     97.0 90.6 94.3 93.8 71.4 90.2 93.6 93.5 73.2 86.6 73.5 94.2 91.8 92.1 93.3 62.7 91.0 76.5 96.8 79.7 86.8
RLSD                     96.8 92.8 93.4 94.3 71.4 92.4 94.3 95.3 74.5 90.2 74.4 95.6 96.4 92.2 97.7 66.4 93.2 73.2 97.2 87.2 88.4
VeryDeep                 98.7 94.6 96.7 95.5 69.8 90.5 93.7 95.4 73.8 85.8 87.8 96.2 96.1 93.2 97.4 70.1 92.3 80.1 98.2 87.2 89.7
ResNet-101               98.8 97.2 97.4 96.1 65.2 91.4 96.3 97.8 74.4 80.2 85.4 98.2 96.6 95.6 98.6 70.3 87.7 80.3 98.4 89.1 89.8
FeV+LV                   97.5 97.2 96.5 94.3 73.8 93.2 96.4 95.1 73.4 90.5 82.6 95.1 97.4 95.6 98.7 77.2 88.4 78.2 98.4 89.3 90.4
HCP                      98.6 97.3 98.1 94.8 74.7 94.2 95.1 96.9 73.2 90.2 80.1 96.6 96.2 94.4 96.2 78.4 94.5 76.4 97.7 91.2 90.7
RNN-Attention            98.7 97.2 95.8 96.1 74.9 92.5 96.3 96.8 76.3 91.8 87.7 96.1 97.6 93.6 97.9 81.5 93.4 82.2 98.7 89.1 91.7
Atten-Reinforce          98.7 97.3 96.8 94.5 75.8 92.4 95.9 97.1 77.9 92.3 87.1 96.2 95.9 93.1 97.9 81.7 93.2 83.1 98.1 89.5 91.7
ML-GCN (Binary)          99.4 98.1 97.9 97.6 78.2 92.3 97.2 97.4 79.2 94.3 86.5 97.4 97.9 97.1 98.7 84.2 95.3 83.0 98.3 90.4 93.1
ML-GCN (Re-weighted)     99.2 97.8 98.0 97.7 78.2 95.0 97.4 96.6 80.2 94.4 85.9 98.0 97.4 96.1 98.7 85.0 96.2 81.9 98.4 93.2 93.3
Deep-LIFT (RGCN)         99.7 98.3 98.2 97.8 80.7 94.5 97.4 97.6 80.6 94.2 83.4 97.7 97.5 95.6 98.8 84.4 95.8 82.1 99.0 94.0 93.4
Deep-LIFT (AGCN)         99.5 98.3 98.3 97.6 81.2 93.2 96.7 97.4 81.9 94.3 85.7 97.6 98.1 95.5 98.8 83.8 96.3 80.0 99.1 94.0 93.4
"""

COLUMNS_3 = {'mAP': 'mAP', 'CF1': 'CF1', 'OF1': 'OF1', 'CF1 top-3': 'CF1_top3', 'OF1 top-3': 'OF1_top3'}

# Variant: published figures on COCO (as COLUMNS_3), mAP on VOC, and what differs from the headline config.
TABLE_3 = {
    'Original-GCN': ((79.6, 74.8, 78.7, 71.4, 75.3), 93.1, {LAYER: 'gcn'}),
    'Residual-GCN': ((81.8, 76.6, 79.9, 73.1, 75.8), 93.4, '1/Deep-LIFT (RGCN)'),
    'Weighted-GCN': ((80.3, 75.0, 78.6, 71.7, 75.4), 93.2, {LAYER: 'weighted'}),
    'Attention-GCN': ((82.2, 77.5, 80.1, 73.4, 76.4), 93.4, '1/Deep-LIFT (AGCN)'),
}
TABLE_4 = {
    'without CAM': ((80.5, 75.1, 78.7, 71.8, 75.4), 92.9, {'model.head.channel_attention': 'none'}),
    'AvgPool': ((81.0, 75.6, 79.2, 72.2, 75.7), 93.1, {'model.head.channel_attention': 'avg'}),
    'MaxPool': ((80.6, 75.2, 78.8, 72.1, 75.4), 93.0, {'model.head.channel_attention': 'max'}),
    'AvgPool+MaxPool': ((82.2, 77.5, 80.1, 73.4, 76.4), 93.4, '1/Deep-LIFT (AGCN)'),
}
# The paper gives four and five layers the same widths; here the five-layer graph repeats 1024 once more.
TABLE_5 = {
    '2-layer': ((82.2, 77.5, 80.1, 73.4, 76.4), 93.4, '1/Deep-LIFT (AGCN)'),
    '3-layer': ((81.7, 76.2, 79.9, 72.7, 76.3), 93.0, {f'{GRAPH}.hidden_channels': (512, 1024)}),
    '4-layer': ((80.9, 75.3, 79.0, 71.8, 75.5), 92.8, {f'{GRAPH}.hidden_channels': (512, 1024, 1024)}),
    '5-layer': ((80.1, 74.5, 78.3, 71.3, 74.9), 92.0, {f'{GRAPH}.hidden_channels': (512, 1024, 1024, 1024)}),
}
TABLE_6 = {
    '1-block': ((81.8, 76.6, 79.9, 73.1, 75.8), 93.4, '1/Deep-LIFT (RGCN)'),
    '2-block': ((81.1, 75.3, 78.9, 72.0, 75.5), 92.7, {LAYER: 'residual', f'{GRAPH}.num_blocks': 2}),
    '3-block': ((80.4, 74.8, 78.6, 71.3, 75.2), 91.2, {LAYER: 'residual', f'{GRAPH}.num_blocks': 3}),
    '4-block': ((79.6, 72.4, 76.5, 70.6, 73.1), 90.6, {LAYER: 'residual', f'{GRAPH}.num_blocks': 4}),
}


def row(name: str, data: str, options: dict, published: dict) -> Row:
    return Row(name=name, published=published, recipe=Recipe(HEADLINE[data], options), mini=Recipe(MINI[data], options))


def comparison(text: str, columns: dict[str, str], data: str) -> list[Row]:
    """Rows of other papers, then ours."""
    layers = {'Deep-LIFT (RGCN)': 'residual', 'Deep-LIFT (AGCN)': 'attention'}
    rows = []
    for line in text.strip().splitlines():
        name, *figures = line.rsplit(maxsplit=len(columns))
        published = dict(zip(columns, map(float, figures), strict=True))
        rows.append(
            row(name, data, {LAYER: layers[name]}, published) if name in layers else Row(name=name, published=published)
        )
    return rows


def ablation(variants: dict) -> list[Row]:
    rows = []
    for data in HEADLINE:
        for variant, (coco, voc, way) in variants.items():
            published = dict(zip(COLUMNS_3, coco, strict=True)) if data == 'COCO' else {'mAP': voc}
            name = f'{data}/{variant}'
            if isinstance(way, str):
                same = way if data == 'COCO' else way.replace('1/', '2/', 1)
                rows.append(Row(name=name, published=published, same_as=same))
            else:
                rows.append(row(name, data, way, published))
    return rows


def thresholds() -> list[Row]:
    """The figure has no numbers to compare with. The graph file holds counts, so no graph is built anew."""
    return [
        row(f'{data}/{kind}/{tau / 10}', data, {LAYER: layer, f'{GRAPH}.threshold': tau / 10}, {})
        for data in HEADLINE
        for kind, layer in (('AGCN', 'attention'), ('RGCN', 'residual'))
        for tau in range(1, 11)
    ]


tables = [
    Table(
        name='1',
        title='Comparison with other methods on COCO 2014 (I)',
        columns=COLUMNS_1,
        preset='mlgcn',
        rows=comparison(TABLE_1, COLUMNS_1, 'COCO'),
        compare=[('Deep-LIFT (AGCN)', 'Deep-LIFT (RGCN)')],
    ),
    Table(
        name='2',
        title='Comparison with other methods on VOC 2007 (II)',
        columns=COLUMNS_2,
        preset='mlgcn',
        rows=comparison(TABLE_2, COLUMNS_2, 'VOC'),
        compare=[('Deep-LIFT (AGCN)', 'Deep-LIFT (RGCN)')],
    ),
    *(
        Table(name=name, title=title, columns=COLUMNS_3, preset='mlgcn', rows=ablation(variants))
        for name, title, variants in (
            ('3', 'Kinds of graph convolution (III)', TABLE_3),
            ('4', 'Channel attention (IV)', TABLE_4),
            ('5', 'Number of attention layers (V)', TABLE_5),
            ('6', 'Number of residual blocks (VI)', TABLE_6),
        )
    ),
    Table(name='fig6', title='Threshold of the graph', columns=COLUMNS_3, preset='mlgcn', rows=thresholds()),
]
