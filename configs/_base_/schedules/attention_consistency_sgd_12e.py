# Guo et al. 2019, section 4: SGD from 1e-3. Momentum, weight decay, batch 16 and halving the rate every 3 of 12 epochs
# as in the authors' published code; the paper gives none.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type='StepLR', by_epoch=True, step_size=3, gamma=0.5)]
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)

# Shares of positives for the weights of the loss (Eq. 3), counted when training starts.
custom_hooks = [dict(type='mlic_mm.PositiveRatioHook')]
