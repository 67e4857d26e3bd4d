# Wang, Jia & Breckon 2018, section 3.2: VGG16 whose fully connected layers follow a pooling to 7 × 7 of any map.
weights = 'https://download.openmmlab.com/mmclassification/v0/vgg/vgg16_batch256_imagenet_20210208-db26f1a5.pth'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VGG', depth=16, init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone.')),
    neck=dict(
        type='mlic_mm.VGGNeck', init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone.classifier.')
    ),
    head=dict(type='MultiLabelLinearClsHead', in_channels=4096, loss=dict(type='mlic_mm.MultiLabelBCELoss')),
)
