"""Every config builds its model, pipelines, hooks and evaluators, and every model gives logits."""

import ast
import functools
import re
from pathlib import Path

import pytest
import torch
from detection_parts import skip_without_mmdet
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, PARAM_SCHEDULERS, DefaultScope, init_default_scope
from pipeline_steps import build_step, write_proposals

import mlic_mm  # noqa: F401
from mlic_mm.label_graphs.data import LabelGraphData

ROOT = Path(__file__).resolve().parents[1] / 'configs'
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob('*.py')
    if '_base_' not in path.parts and path.name != 'tables.py'
)

NUM_CLASSES = {'coco': 80, 'voc': 20, 'nuswide': 81, 'pa100k': 26, 'wider': 14}


def load(name: str, graphs: dict[int, str]) -> Config:
    cfg = Config.fromfile(ROOT / name)
    init_default_scope(cfg.default_scope)
    if 'label_graph' in cfg.model.head:
        cfg.model.head.label_graph.graph = graphs[cfg.model.head.num_classes]
    return cfg


@functools.cache
def build_backbone(config: str) -> torch.nn.Module:
    """Most configs share one."""
    return MODELS.build(ast.literal_eval(config))


@pytest.fixture(scope='module')
def proposals(tmp_path_factory):
    return write_proposals(tmp_path_factory.mktemp('proposals') / 'proposals.st')


@pytest.mark.parametrize('name', CONFIGS)
def test_config_builds(name, graphs, proposals):
    cfg = load(name, graphs)
    skip_without_mmdet(cfg)
    backbone = build_backbone(repr(cfg.model.backbone.to_dict()))
    if 'rpn' in cfg.model.get('objectives', {}):
        with torch.device('meta'):
            assert MODELS.build({**cfg.model, 'backbone': backbone}).proposer.rpn_head.num_classes == 1
    with torch.device('meta' if 'region_neck' in cfg.model.head else 'cpu'):  # VGG16's take half a gigabyte
        head = MODELS.build(cfg.model.head)
    assert head.num_classes == next((n for data, n in NUM_CLASSES.items() if data in name), 10)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        steps = [build_step(step, proposals) for step in loader.dataset.pipeline]
        assert 'img_id' in steps[-1].meta_keys
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        if hook is not None:
            HOOKS.build(hook)
    Evaluator(cfg.val_evaluator)
    Evaluator(cfg.test_evaluator)
    wrapper = build_optim_wrapper(head, cfg.optim_wrapper)
    for scheduler in cfg.param_scheduler:
        scheduler = dict(scheduler)
        if scheduler.pop('convert_to_iter_based', False):
            scheduler['by_epoch'] = False
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=wrapper.optimizer))


@pytest.mark.parametrize('name', ['deeplift_demo.py', 'deeplift_voc07.py'])
def test_whole_model_gives_logits(name, graphs):
    cfg = load(name, graphs)
    cfg.model.backbone.pop('init_cfg', None)
    if name == 'deeplift_voc07.py':  # the smallest ResNet with the widths of the largest
        cfg.model.backbone.depth = 50
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 96, 96)).shape == (1, cfg.model.head.num_classes)


@pytest.mark.parametrize('threshold', [round(0.1 * i, 1) for i in range(1, 11)])
def test_fig_6_sweeps_the_threshold_by_one_option(threshold, graphs):
    cfg = load('deeplift_voc07.py', graphs)
    cfg.merge_from_dict({'model.head.label_graph.threshold': threshold})
    head = MODELS.build(cfg.model.head)
    data = LabelGraphData.load(graphs[20])
    assert head.label_graph.edges.size(1) == 20 + data.edges(threshold).shape[1]


def strings(node):
    """All strings in nested data."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for part in node.values():
            yield from strings(part)
    elif isinstance(node, list | tuple):
        for part in node:
            yield from strings(part)


HANDOVERS = sorted(
    (name, text)
    for name in CONFIGS
    for text in set(strings(Config.fromfile(ROOT / name).to_dict()))
    if text.startswith('work_dirs/')
)


@pytest.mark.parametrize(('name', 'text'), HANDOVERS)
def test_what_a_config_takes_over_is_what_another_writes(name, text):
    """``work_dirs/<config>/``: the config itself, the checkpoint of its last epoch, or its cache."""
    folder, _, file = text.removeprefix('work_dirs/').partition('/')
    (other,) = [path for path in CONFIGS if Path(path).stem == folder]
    if found := re.fullmatch(r'epoch_(\d+)\.pth', file):
        assert int(found[1]) == Config.fromfile(ROOT / other).train_cfg.max_epochs
    else:
        assert file in ('', 'cache', f'{folder}.py')


@pytest.mark.parametrize('name', [name for name in CONFIGS if name.rpartition('/')[2].startswith(('kd_wsd', 'kd-wsd'))])
def test_student_is_a_plain_classifier(name):
    """The keys of its exported checkpoint are those of the config without distillation."""
    cfg = load(name, {})
    data = next(data for data in ('voc07mini', 'coco', 'nuswide') if data in name)
    (plain,) = [path for path in CONFIGS if path.startswith('kd_wsd/student_') and data in path]
    other = load(plain, {})
    for part in ('backbone', 'neck', 'head'):
        assert cfg.model[part] == other.model[part]
    with torch.device('meta'):  # VGG16's fully connected layers take half a gigabyte
        student, alone = MODELS.build(cfg.model), MODELS.build(other.model)
    learnt = 'objectives.teacher.losses.'
    assert [key for key in student.state_dict() if not key.startswith(learnt)] == list(alone.state_dict())
    assert student.objectives.teacher.stage == {'stage1': 1, 'stage2': 2}.get(name.rpartition('/')[2][7:13])


def test_weights_of_a_detector_of_mmdet_fit_by_name(graphs):
    cfg = load('spatial_context_coco.py', graphs)
    skip_without_mmdet(cfg)
    import mmdet

    file = Path(mmdet.__path__[0], '.mim/configs/faster_rcnn/faster-rcnn_x101-32x4d_fpn_1x_coco.py')
    if not file.is_file():
        pytest.skip(f'mmdet is installed without its configs: no {file}')
    backbone = build_backbone(repr(cfg.model.backbone.to_dict()))
    with torch.device('meta'):
        ours = MODELS.build({**cfg.model, 'backbone': backbone})
    detector = Config.fromfile(file).model
    with DefaultScope.overwrite_default_scope('mmdet'):
        parts = [(name, MODELS.build(detector[name])) for name in ('backbone', 'neck', 'rpn_head')]
    for name, part in parts:
        found, wanted = (
            {key: value.shape for key, value in module.state_dict().items()}
            for module in ((ours.proposer if name == 'rpn_head' else ours).get_submodule(name), part)
        )
        assert found == wanted
