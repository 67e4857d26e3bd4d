"""mmpretrain's own config of CSRA on VOC 2007, which takes loss, hooks and metric from mlic_mm.

python tools/train.py examples/mmpretrain_metric_hooks_loss.py   # or: mim train mmpretrain …
"""

_base_ = ['mmpretrain::csra/resnet101-csra_1xb16_voc07-448px.py']
custom_imports = dict(imports=['mlic_mm'], allow_failed_imports=False)

model = dict(head=dict(loss=dict(_delete_=True, type='mlic_mm.WeightedBCELoss')))
custom_hooks = [
    dict(type='mlic_mm.PositiveRatioHook'),  # counts the labels for the loss
    dict(type='mlic_mm.NonFiniteLossHook'),
    dict(type='mlic_mm.EarlyStoppingHook', patience=5),
]
val_evaluator = dict(_delete_=True, type='mlic_mm.MLICMetric', preset='csra')
test_evaluator = val_evaluator
