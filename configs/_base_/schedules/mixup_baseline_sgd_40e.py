# Wang, Jia & Breckon 2018, section 4.2: 0.1 for fully connected layers, 0.01 for convolutions, ÷10 after 20 of 40
# epochs, batch 16. Momentum and weight decay as in the authors' published ResNet-101 code; the paper gives none.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=40, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
