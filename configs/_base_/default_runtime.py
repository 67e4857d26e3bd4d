# Names without a prefix are looked up in mmpretrain; ours are written with `mlic_mm.`.
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)

# Named, so that a config that inherits changes one by its name, or drops it: `default_hooks = dict(label_check=None)`.
# Early stopping is one more line in this dictionary:
#     early_stopping=dict(type='mlic_mm.EarlyStoppingHook', monitor='mAP', patience=5),
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Two, so that a newest one cut short leaves another to resume from.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='mAP', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Several processes validate, and save, one and the same model.
    sync_buffers=dict(type='mlic_mm.SyncBuffersHook'),
    # Class names and numbers of data, head, label graph and checkpoint must agree.
    label_check=dict(type='mlic_mm.LabelCheckHook'),
    # Ignored labels (−1) are left out of the losses and batch augments of mmpretrain, too.
    known_labels=dict(type='mlic_mm.KnownLabelsHook'),
    # Unreadable images that LoadImage(on_error='skip') left out are listed at the end.
    corrupt_images=dict(type='mlic_mm.CorruptImageHook'),
    # Stop before a step that would spoil the weights.
    non_finite_loss=dict(type='mlic_mm.NonFiniteLossHook'),
    # An interrupted run continues as if it had not been interrupted.
    exact_resume=dict(type='mlic_mm.ExactResumeHook'),
    # Convolutions run faster in this memory layout, on CPU and GPU.
    channels_last=dict(type='mlic_mm.ChannelsLastHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # tools/train.py and tools/test.py take gloo where there is no GPU.
    dist_cfg=dict(backend='nccl'),
)

visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False

# `seed=None` draws one and logs it; a number repeats a run. `deterministic=True` also fixes the choice of CUDA kernels.
randomness = dict(seed=None, deterministic=False)
