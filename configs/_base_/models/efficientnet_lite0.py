# Weights: `python tools/convert_efficientnet_lite.py --out data/pretrained/tf_efficientnet_lite0.pth`.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/tf_efficientnet_lite0.pth'),
    ),
)
