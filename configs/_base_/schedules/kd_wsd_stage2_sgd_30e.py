# Liu et al. 2018, section 3.3, stage 2, and the student by itself: 1e-4, a tenth of it when the validation loss is
# saturated, for which epoch 20 of 30 stands here; they give no number.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=5e-4),
    # Not in the paper, for losses of features that are sums over a whole map.
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
