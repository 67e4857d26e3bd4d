# Liu et al. 2018, section 3.1: WSDDN on conv5_3 of VGG16, which is the backbone's map without the last pooling.
weights = 'https://download.openmmlab.com/mmclassification/v0/vgg/vgg16_batch256_imagenet_20210208-db26f1a5.pth'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VGG',
        depth=16,
        with_last_pool=False,
        init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone.'),
    ),
    head=dict(
        type='mlic_mm.WSDDNHead',
        in_channels=4096,
        stride=16,
        # fc6 and fc7 of every region.
        region_neck=dict(
            type='mlic_mm.VGGNeck', init_cfg=dict(type='Pretrained', checkpoint=weights, prefix='backbone.classifier.')
        ),
    ),
)
