# Liu et al. 2018, section 3.3: the student S-Cls, VGG16 at 224 px; fc6 and fc7 from ImageNet, the last layer by Xavier.
weights = 'https://download.openmmlab.com/mmclassification/v0/vgg/vgg16_batch256_imagenet_20210208-db26f1a5.pth'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VGG', depth=16, init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone.')),
    neck=dict(
        type='mlic_mm.VGGNeck', init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone.classifier.')
    ),
    head=dict(
        type='MultiLabelLinearClsHead',
        in_channels=4096,
        loss=dict(type='mlic_mm.MultiLabelBCELoss'),  # Eq. 10: sum over labels, mean over images
        init_cfg=dict(type='Xavier', layer='Linear'),
    ),
)
