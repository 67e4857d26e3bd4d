model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=101,
        num_stages=4,
        out_indices=(3,),
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/resnet/resnet101_8xb32_in1k_20210831-539c63f8.pth',
            prefix='backbone.',
        ),
    ),
    # Neither a pooling neck (the head works on the map) nor num_classes and graph: those belong to the data set.
    head=dict(type='mlic_mm.DeepLIFTHead', in_channels=2048, label_graph=dict(layer='attention')),
)
