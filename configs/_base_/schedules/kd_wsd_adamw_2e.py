# A short fine-tuning of the last two stages for CPU cores: with the first five frozen a step costs less than half.
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=2)
val_cfg = dict()
test_cfg = dict()

frozen = ['conv_stem', 'bn1', 'blocks.0', 'blocks.1', 'blocks.2', 'blocks.3', 'blocks.4']
custom_hooks = [dict(type='mlic_mm.UnfreezeHook', modules=[f'backbone.timm_model.{name}' for name in frozen])]
