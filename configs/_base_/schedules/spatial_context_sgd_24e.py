# Zhang et al. 2021, section 3.1: SGD with 0.002, momentum 0.5, decay 0.01, two images; the backbone is frozen until the
# training has converged, then all is trained. They give no number of epochs: here the backbone is released after two in
# which the loss has fallen by less than 1 %, in epoch 13 at the latest. A tenth of the rate at the end is ours.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.002, momentum=0.5, weight_decay=0.01))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=24, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=2)

custom_hooks = [dict(type='mlic_mm.UnfreezeHook', modules=['backbone'], patience=2, epoch=13)]
# The frozen backbone has no gradients, which several processes would wait for.
find_unused_parameters = True
