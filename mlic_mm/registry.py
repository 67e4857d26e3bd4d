"""Child registries of mmengine's roots, so that ``mlic_mm.Name`` resolves from every OpenMMLab scope.

Keep this file free of other imports: mmengine imports it when a scope is looked up and reports any failure here as
"not in the registry".
"""

from mmengine import registry as root
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

DATASETS = root.Registry('dataset', parent=root.DATASETS, scope='mlic_mm', locations=['mlic_mm.datasets'])
TRANSFORMS = root.Registry(
    'transform', parent=root.TRANSFORMS, scope='mlic_mm', locations=['mlic_mm.datasets.transforms']
)
MODELS = root.Registry('model', parent=root.MODELS, scope='mlic_mm', locations=['mlic_mm.models'])
METRICS = root.Registry('metric', parent=root.METRICS, scope='mlic_mm', locations=['mlic_mm.evaluation'])
TASK_UTILS = root.Registry(
    'task util',
    parent=root.TASK_UTILS,
    scope='mlic_mm',
    locations=['mlic_mm.models.layers', 'mlic_mm.models.view_transforms', 'mlic_mm.models.patch_generators'],
)
HOOKS = root.Registry('hook', parent=root.HOOKS, scope='mlic_mm', locations=['mlic_mm.engine'])
OPTIM_WRAPPERS = root.Registry(
    'optim_wrapper', parent=root.OPTIM_WRAPPERS, scope='mlic_mm', locations=['mlic_mm.engine']
)
# The parent is mmpretrain's registry, because it has no root in mmengine.
BATCH_AUGMENTS = root.Registry(
    'batch augment', parent=MMPRETRAIN_BATCH_AUGMENTS, scope='mlic_mm', locations=['mlic_mm.models.batch_augments']
)
