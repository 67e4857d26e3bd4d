# A short training for CPU cores: the backbone is frozen for an epoch, then trained at a tenth of the rate. Its batch
# normalisation keeps its statistics: those of eight images spoil what was learnt until then.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=3)
val_cfg = dict()
test_cfg = dict()

custom_hooks = [dict(type='mlic_mm.UnfreezeHook', modules=['backbone'], epoch=2, norm_eval=True)]
