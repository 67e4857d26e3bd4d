# Liu et al. 2018, section 3.3: SGD, batch 32. They give no rate for the teacher; WSDDN (Bilen & Vedaldi 2016) trains
# ten epochs with 1e-5 and ten with a tenth of it, an image at a time: 32 times that for 32 images.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=3.2e-4, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[10], gamma=0.1)]
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
