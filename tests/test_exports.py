"""Names that packages pass on exist, and every registered class can be imported from its room."""

import importlib
import pkgutil

import pytest

import mlic_mm
from mlic_mm import registry

PACKAGES = [
    'mlic_mm',
    *(module.name for module in pkgutil.walk_packages(mlic_mm.__path__, 'mlic_mm.') if module.ispkg),
]
REGISTERED = {
    cls
    for room in vars(registry).values()
    if hasattr(room, 'module_dict') and room.scope == 'mlic_mm'
    for cls in room.module_dict.values()
}


@pytest.mark.parametrize('package', PACKAGES)
def test_names_exist(package: str) -> None:
    module = importlib.import_module(package)
    names = getattr(module, '__all__', [])
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(module, name)] == []
    assert module.__doc__ or not names, f'{package} does not say what it holds'


@pytest.mark.parametrize('cls', sorted(REGISTERED, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
def test_registered_classes_can_be_imported_from_their_room(cls: type) -> None:
    room = importlib.import_module('.'.join(cls.__module__.split('.')[:2]))
    parent = importlib.import_module(cls.__module__.rpartition('.')[0])
    assert cls.__name__ in {*getattr(room, '__all__', ()), *getattr(parent, '__all__', ())}


def test_what_users_import() -> None:
    """The names that README and docs tell users to import."""
    for name in (
        'mlic_mm.apis.MultiLabelInferencer',
        'mlic_mm.datasets.ProposalFile',
        'mlic_mm.datasets.TeacherCache',
        'mlic_mm.evaluation.ScoreDump',
        'mlic_mm.evaluation.evaluate_scores',
        'mlic_mm.evaluation.fuse_scores',
        'mlic_mm.evaluation.shared_protocol',
        'mlic_mm.label_graphs.LabelGraphData',
        'mlic_mm.label_graphs.label_embeddings',
        'mlic_mm.models.constant_labels',
        'mlic_mm.models.losses.leave_out_unknown',
        'mlic_mm.safe_load.checkpoint.forbid_code_in_checkpoints',
        'mlic_mm.visualization.grad_cam',
        'mlic_mm.visualization.write_report',
    ):
        module, _, attribute = name.rpartition('.')
        assert hasattr(importlib.import_module(module), attribute), name
