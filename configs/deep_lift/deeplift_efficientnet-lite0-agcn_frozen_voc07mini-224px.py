"""Deep-LIFT on the frozen maps of EfficientNet-Lite0 at 224 pixels; read by ``benchmarks/frozen_backbone.py``."""

_base_ = './deeplift_efficientnet-lite0-agcn_1xb32-5e_voc07mini-128px.py'

load = dict(type='mlic_mm.LoadImage')
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
pipeline = [load, dict(type='Resize', scale=(224, 224)), pack]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
