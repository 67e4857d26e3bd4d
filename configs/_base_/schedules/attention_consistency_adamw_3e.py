# A short fine-tuning of the last stages on two CPU cores: a pass over the first five stages costs a third of one that trains them.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=3)
val_cfg = dict()
test_cfg = dict()

frozen = ['conv_stem', 'bn1', 'blocks.0', 'blocks.1', 'blocks.2', 'blocks.3', 'blocks.4']
custom_hooks = [
    dict(type='mlic_mm.UnfreezeHook', modules=[f'backbone.timm_model.{name}' for name in frozen]),
    dict(type='mlic_mm.PositiveRatioHook'),
]
