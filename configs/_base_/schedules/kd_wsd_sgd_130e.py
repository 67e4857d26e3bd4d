# Liu et al. 2018, section 3.3, both stages in one run: 100 epochs of stage 1 at 1e-5, then stage 2 at 1e-4, and a tenth
# of it when the validation loss is saturated, for which the last ten of 30 epochs stand here; they give no number.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=5e-4),
    # Not in the paper, for losses of features that are sums over a whole map.
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='ConstantLR', factor=0.1, by_epoch=True, end=101),  # mmengine ends one epoch before
    dict(type='MultiStepLR', by_epoch=True, milestones=[120], gamma=0.1),
]
# Before stage 2 the head has learnt nothing that could be validated.
train_cfg = dict(by_epoch=True, max_epochs=130, val_begin=101, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
# Each stage leaves parameters unused, which several processes would wait for.
find_unused_parameters = True
