"""Tables of papers as data: every row of every table has a config that builds."""

import ast
import functools

import pytest
import torch
from detection_parts import skip_without_mmdet
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, PARAM_SCHEDULERS, init_default_scope
from pipeline_steps import build_step, write_proposals
from tiny_run import REPO

import mlic_mm  # noqa: F401
from mlic_mm.registry import TASK_UTILS
from mlic_mm.reproduction import Recipe, Row, Table, load_papers

PAPERS = load_papers(REPO / 'configs')
ROWS = [
    pytest.param(paper, row, data, id=f'{paper.name}/{table.name}/{row.name} {data}')
    for paper in PAPERS.values()
    for table in paper.tables.values()
    for row in table.rows
    for data in ('full', 'mini')
    if isinstance(paper.recipe(row, data), Recipe)
]
NUM_CLASSES = {'NUS': 81, 'COCO': 80, 'VOC': 20}


@functools.cache
def build_backbone(config: str) -> torch.nn.Module:
    """Rows share a few."""
    return MODELS.build(ast.literal_eval(config))


@pytest.fixture(scope='module')
def proposals(tmp_path_factory):
    return write_proposals(tmp_path_factory.mktemp('proposals') / 'proposals.st')


@pytest.mark.integration
@pytest.mark.parametrize(('paper', 'row', 'data'), ROWS)
def test_every_row_builds(paper, row, data, graphs, proposals):
    cfg = paper.build(paper.recipe(row, data))
    init_default_scope(cfg.default_scope)
    skip_without_mmdet(cfg)
    backbone = build_backbone(repr({**cfg.model.backbone.to_dict(), 'init_cfg': None}))
    if 'label_graph' in cfg.model.head:
        cfg.model.head.label_graph.graph = graphs[cfg.model.head.num_classes]
    with torch.device('meta'):  # VGG16's fully connected layers take half a gigabyte
        if cfg.model.type == 'mlic_mm.MultiLabelClassifier':
            MODELS.build({**cfg.model, 'backbone': backbone})
        elif 'neck' in cfg.model:
            MODELS.build(cfg.model.neck)
    with torch.device('meta' if 'region_neck' in cfg.model.head else 'cpu'):
        assert MODELS.build(cfg.model.head).num_classes == cfg.data_preprocessor.num_classes
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        assert [build_step(step, proposals) for step in loader.dataset.pipeline]
    for hook in cfg.default_hooks.values():
        if hook is not None:
            HOOKS.build(hook)
    Evaluator(cfg.test_evaluator)
    assert cfg.val_dataloader is None  # nothing is selected on the test images


def test_papers_and_tables():
    assert list(PAPERS['deep_lift'].tables) == ['1', '2', '3', '4', '5', '6', 'fig6']
    assert list(PAPERS['mixup_baseline'].tables) == ['2', '3']
    assert len(PAPERS['mixup_baseline'].table('2').rows) == 54
    assert list(PAPERS['attention_consistency'].tables) == ['1', '2', '3', '4', '5', '6']
    assert list(PAPERS['kd_wsd'].tables) == ['1', '2', '3', '4', '5']
    assert list(PAPERS['spatial_context'].tables) == ['1', '2', 'branches', 'ratio']


def size_of(pipeline, kind):
    scale = next(step.scale for step in pipeline if step.type == kind)
    return scale if isinstance(scale, int) else scale[0]


@pytest.mark.parametrize('row', PAPERS['mixup_baseline'].table('2').rows, ids=lambda row: row.name)
def test_mixup_rows_are_what_they_say(row):
    data, model, augmentation, size = row.name.split('/')
    cfg = PAPERS['mixup_baseline'].build(row.recipe)
    assert cfg.model.backbone.type == {'V': 'VGG', 'R': 'ResNet'}[model]
    assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == NUM_CLASSES[data]
    assert cfg.model.head.loss.loss_weight == 1 / NUM_CLASSES[data]
    train, test = cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline
    assert size_of(train, 'Resize' if augmentation == 'M1' else 'RandomResizedCrop') == int(size)
    assert size_of(test, 'Resize') == int(size)
    mixing = cfg.model.train_cfg is not None
    assert mixing == (augmentation == 'M3') == (cfg.default_hooks.alternate is not None)
    assert cfg.test_evaluator.preset == 'wang'
    assert cfg.optim_wrapper.optimizer.lr == 0.1
    assert cfg.train_dataloader.batch_size == 16


@pytest.mark.parametrize(
    ('row', 'key', 'value'),
    [
        ('3/COCO/Weighted-GCN', 'layer', 'weighted'),
        ('5/VOC/4-layer', 'hidden_channels', [512, 1024, 1024]),
        ('6/VOC/3-block', 'num_blocks', 3),
        ('fig6/COCO/RGCN/0.3', 'threshold', 0.3),
    ],
)
def test_deep_lift_rows_are_what_they_say(row, key, value):
    paper = PAPERS['deep_lift']
    found = paper.build(paper.find(row)[1].recipe).model.head.label_graph[key]
    assert (list(found) if isinstance(found, tuple) else found) == value


@pytest.mark.parametrize(
    ('row', 'names', 'weight'),
    [
        ('1/R50', [], None),
        ('1/R50+t', ['translate_32_0'], None),
        ('1/R50+ACr', ['rotate90'], 1.0),
        ('1/R101+ACfs', ['flip', 'scale_192', 'flip+scale_192'], 1.0),
        ('5/R50+fs', ['flip', 'scale_192', 'flip+scale_192'], None),
        ('5/R50+ACs', ['scale_192'], 1.0),
        ('6/R101+ACfs', ['flip', 'scale_256', 'flip+scale_256'], 1.0),
    ],
)
def test_attention_consistency_rows_are_what_they_say(row, names, weight):
    paper = PAPERS['attention_consistency']
    recipe = paper.find(row)[1].recipe
    cfg = paper.build(recipe)
    objective = cfg.model.objectives.consistency or dict(views=[], loss=False)  # without views, there is no objective
    assert [TASK_UTILS.build(view).name for view in objective['views']] == names
    assert (objective['loss']['loss_weight'] if objective['loss'] else None) == weight
    depth = 101 if 'R101' in row else 50
    assert cfg.model.backbone.depth == depth
    assert f'resnet{depth}_' in cfg.model.backbone.init_cfg.checkpoint
    # All are measured alike, and by the protocol of the table.
    cfg.merge_from_dict(dict(recipe.test_options))
    objective = cfg.model.objectives.consistency
    assert [TASK_UTILS.build(view).name.split('_')[0] for view in objective.views] == ['flip', 'scale', 'flip+scale']
    assert objective.measure
    assert cfg.test_evaluator[0].preset == paper.table(row[0]).preset


@pytest.mark.parametrize(
    ('row', 'branches', 'ratio'),
    [
        ('1/The Proposed', ('object', 'context'), 1.5),
        ('2/The Proposed', ('object', 'context'), 1.5),
        ('branches/both', ('object', 'context'), 1.5),
        ('branches/object', ('object',), 1.5),
        ('branches/context', ('context',), 1.5),
        ('ratio/1.0', ('object', 'context'), 1.0),
        ('ratio/1.25', ('object', 'context'), 1.25),
        ('ratio/1.5', ('object', 'context'), 1.5),
        ('ratio/2.0', ('object', 'context'), 2.0),
    ],
)
@pytest.mark.parametrize('data', ['full', 'mini'])
def test_spatial_context_rows_are_what_they_say(row, branches, ratio, data):
    paper = PAPERS['spatial_context']
    table, found = paper.find(row)
    cfg = paper.build(paper.recipe(found, data))
    assert tuple(cfg.model.head.branches) == branches
    assert cfg.model.head.context.ratio == ratio
    assert cfg.test_evaluator[0].preset == table.preset
    assert [part.type for part in cfg.test_evaluator][1:] == [
        'mmdet.CocoMetric' if (row[0], data) == ('1', 'full') else 'mmdet.VOCMetric'
    ]


@pytest.mark.parametrize('data', ['full', 'mini'])
def test_the_plain_classifier_beside_spatial_context_differs_in_the_model_alone(data):
    """And, on the small data, in the rate that was tuned for it."""
    paper = PAPERS['spatial_context']
    plain, both = (paper.build(paper.recipe(paper.find(f'branches/{row}')[1], data)) for row in ('plain', 'both'))
    assert plain.model.type == 'ImageClassifier'
    different = {'out_indices', 'features_only'}
    ours, theirs = ({k: v for k, v in cfg.model.backbone.items() if k not in different} for cfg in (plain, both))
    assert ours == theirs
    if data == 'mini':
        assert plain.optim_wrapper.optimizer.pop('lr') == 3 * both.optim_wrapper.optimizer.pop('lr')
    for part in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks', 'data_preprocessor'):
        assert plain[part] == both[part]
    steps = [
        [step for step in cfg.train_dataloader.dataset.pipeline[:-1] if step.type != 'LoadAnnotations']
        for cfg in (plain, both)
    ]
    assert steps[0] == steps[1]


def test_figures_of_spatial_context_agree_with_each_other():
    """F1 is that of precision and recall, but for the class-wise one, which the table prints 0.3 below; APs average."""
    paper = PAPERS['spatial_context']
    found = paper.find('1/The Proposed')[1].published
    assert found['F1-O'] == round(2 / (1 / found['P-O'] + 1 / found['R-O']), 1)
    assert round(2 / (1 / found['P-C'] + 1 / found['R-C']), 1) == 80.6
    for row in paper.table('2').rows:
        *each, mean = row.published.values()
        assert abs(sum(each) / 20 - mean) < 0.06, row.name


def test_a_row_of_several_tables_is_run_once():
    paper = PAPERS['deep_lift']
    assert [
        paper.find(name)[1].name for name in ('3/COCO/Attention-GCN', '4/COCO/AvgPool+MaxPool', '5/COCO/2-layer')
    ] == ['Deep-LIFT (AGCN)'] * 3
    assert paper.find('6/VOC/1-block') == paper.find('2/Deep-LIFT (RGCN)')


def test_ensembles_name_their_members():
    paper = PAPERS['mixup_baseline']
    rows = {row.name: row for row in paper.table('3').rows}
    assert list(rows['COCO/V/ScaleEn'].fuse) == [f'2/COCO/V/M3/{size}' for size in (384, 448, 512)]
    assert list(rows['VOC/R/ScaleEn'].fuse) == [f'2/VOC/R/M1/{size}' for size in (384, 448, 512)]
    assert list(rows['NUS/R/DistrEn'].fuse) == ['2/NUS/R/M2/512', '2/NUS/R/M3/512']


def test_single_best_has_the_figures_of_the_row_it_repeats():
    paper = PAPERS['mixup_baseline']
    for row in paper.table('3').rows:
        if row.same_as:
            assert paper.find(row.same_as)[1].published == row.published


def test_repeated_rows_have_the_same_published_figures():
    """Where a table repeats a row of another, the figures that both print agree."""
    differ = []
    for name in ('deep_lift', 'attention_consistency', 'kd_wsd'):
        paper = PAPERS[name]
        for table in paper.tables.values():
            for row in table.rows:
                if row.same_as and table.preset:
                    first_table, first = paper.find(row.same_as)
                    shared = {table.columns[head]: value for head, value in row.published.items()}
                    other = {first_table.columns[head]: value for head, value in first.published.items()}
                    differ += [(name, table.name, row.name, key) for key in shared if other[key] != shared[key]]
    # The paper prints 77.4 in Table 1 and 77.3 in Table 4.
    assert differ == [('attention_consistency', '4', 'R101+ACf', 'CF1')]


@pytest.mark.parametrize(
    ('pattern', 'hint'),
    [('VOC/R/M4/512', 'VOC/R/M3/512'), ('COCO/R/M3/513', 'COCO/R/M3/512'), ('coco/r/m3/512', 'COCO/R/M3/512')],
)
def test_the_nearest_row_is_suggested(pattern, hint):
    with pytest.raises(ValueError, match=f"no row '{pattern}'.*mean '[A-Z]+/.*"):
        PAPERS['mixup_baseline'].table('2').select([pattern])


def test_patterns_select_in_the_order_of_the_table():
    table = PAPERS['mixup_baseline'].table('2')
    chosen = [row.name for row in table.select(['VOC/R/M3/*', 'VOC/R/M1/512'])]
    assert chosen == ['VOC/R/M1/512', 'VOC/R/M3/384', 'VOC/R/M3/448', 'VOC/R/M3/512']


def test_tables_that_do_not_fit_together():
    columns = {'mAP': 'mAP'}
    with pytest.raises(ValueError, match="'a' is there twice"):
        Table(name='1', title='', columns=columns, preset='mlgcn', rows=[Row(name='a'), Row(name='a')])
    with pytest.raises(ValueError, match="no column 'AP'"):
        Table(name='1', title='', columns=columns, preset='mlgcn', rows=[Row(name='a', published={'AP': 1.0})])
    with pytest.raises(ValueError, match="compares row 'b'"):
        Table(name='1', title='', columns=columns, preset='mlgcn', rows=[Row(name='a')], compare=[('a', 'b')])
    with pytest.raises(ValueError, match='exclude each other'):
        Row(name='a', fuse=['1/b'], same_as='1/c')


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no <paper>/tables\.py below'):
        load_papers(tmp_path)
    file = tmp_path / 'mine' / 'tables.py'
    file.parent.mkdir()
    file.write_text('paper = {}\n')
    with pytest.raises(ValueError, match="must define the dictionary 'paper' and the list 'tables'"):
        load_papers(tmp_path)
    file.write_text(
        'from mlic_mm.reproduction import Row, Table\npaper = {}\n'
        "tables = [Table(name='1', title='', columns={}, preset='mlgcn', rows=[Row(name='ab', fuse=['1/ac'])])]\n"
    )
    with pytest.raises(ValueError, match=r"no row '1/ac'; choose from ab"):
        load_papers(tmp_path)


def test_rates_of_the_paper():
    """0.1 for fully connected layers, 0.01 for convolutions, a tenth of both after 20 of 40 epochs."""
    cfg = PAPERS['mixup_baseline'].build(PAPERS['mixup_baseline'].find('2/VOC/V/M1/384')[1].recipe)
    model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in ('backbone', 'neck', 'head')})
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rate_of = {id(p): group['lr'] for group in wrapper.param_groups for p in group['params']}
    rates = {part: {rate_of[id(p)] for p in model[part].parameters()} for part in model}
    assert {part: [round(x, 9) for x in found] for part, found in rates.items()} == dict(
        backbone=[0.01], neck=[0.1], head=[0.1]
    )
    assert cfg.param_scheduler == [dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)]
    assert cfg.train_cfg.max_epochs == 40


KD_LAYERS = {'backbone.features.8': 'conv3_3', 'backbone.features.12': 'conv4_3', 'backbone.features.16': 'conv5_3'}


@pytest.mark.parametrize(
    ('row', 'stages', 'losses'),
    [
        ('1/Distillation', 1, ['Hinton 1 5']),
        ('2/Distillation', 1, ['Hinton 2 5']),
        ('1/FitNets', 2, ['FitNets conv3_3', 'Hinton 1 5']),
        ('2/Attention transfer', 1, [f'AttentionTransfer conv{n}_3' for n in (3, 4, 5)] + ['Hinton 2 5']),
        ('4/Class-aware', 1, ['ClassAwareDistill']),
        ('4/NMS proposals + class-aware', 2, ['RoIFeatureDistill conv5_3 plain', 'ClassAwareDistill']),
        ('4/RoI-aware + class-aware', 2, ['RoIFeatureDistill conv5_3', 'ClassAwareDistill']),
        ('2/S-Cls distilled', 2, ['RoIFeatureDistill conv5_3', 'ClassAwareDistill']),
    ],
)
def test_kd_rows_are_what_they_say(row, stages, losses):
    paper = PAPERS['kd_wsd']
    cfg = paper.build(paper.find(row)[1].recipe)

    def words(loss):
        yield (
            loss.type.removeprefix('mlic_mm.')
            .removesuffix('Loss')
            .removesuffix('Distill' if 'Hinton' in loss.type else '')
        )
        yield from (KD_LAYERS[loss[key]] for key in ('student_layer',) if key in loss)
        yield from (f'{loss[key]:g}' for key in ('teacher_temperature', 'student_temperature') if key in loss)
        yield from ('plain' for _ in range(not loss.get('weighted', True)))

    assert [' '.join(words(loss)) for loss in cfg.model.objectives.teacher.losses.values()] == losses
    hook = cfg.default_hooks.distill_stage
    assert (hook.epoch if hook else None, cfg.train_cfg.max_epochs) == ((101, 130) if stages == 2 else (None, 30))
    assert cfg.model.objectives.teacher.get('stage') is None


def test_kd_layers_are_the_last_convolutions_of_their_stages():
    features = MODELS.build(dict(type='mmpretrain.VGG', depth=16)).features
    before_pooling = [n - 1 for n, layer in enumerate(features) if isinstance(layer, torch.nn.MaxPool2d)]
    assert list(KD_LAYERS) == [f'backbone.features.{n}' for n in before_pooling[2:]]


def test_detected_proposals_are_those_of_teacher_and_student():
    paper = PAPERS['kd_wsd']
    for name, loaders in (('T-WDet', ('train', 'test')), ('S-Cls', ('train',))):
        recipe = paper.find(f'5/{name} (Faster R-CNN)')[1].recipe
        cfg = paper.build(recipe)
        for loader in loaders:
            step = cfg[f'{loader}_dataloader'].dataset.pipeline[1]
            assert (step.file, step.num) == ('data/proposals/coco2014_faster-rcnn.st', 100)
    assert list(recipe.requires.values()) == ['5/T-WDet (Faster R-CNN)']
    assert cfg.model.objectives.teacher.losses.prediction.num_proposals == 100


def test_rates_of_both_stages():
    """1e-5 for 100 epochs, then 1e-4, then a tenth."""
    cfg = PAPERS['kd_wsd'].build(PAPERS['kd_wsd'].find('1/S-Cls distilled')[1].recipe)
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    schedulers = [PARAM_SCHEDULERS.build(dict(each, optimizer=wrapper.optimizer)) for each in cfg.param_scheduler]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates += wrapper.get_lr()['lr']
        wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates == pytest.approx([1e-5] * 100 + [1e-4] * 20 + [1e-5] * 10, rel=1e-9)


def three_rows(tmp_path, rows):
    """Tables of a paper in a folder of their own."""
    file = tmp_path / 'mine' / 'tables.py'
    file.parent.mkdir(exist_ok=True)
    head = 'from mlic_mm.reproduction import Recipe, Row, Table\npaper = {}\n'
    file.write_text(f"{head}tables = [Table(name='1', title='', columns={{}}, preset='mlgcn', rows=[{rows}])]\n")
    return load_papers(tmp_path)['mine']


def test_rows_that_need_others(tmp_path):
    student = "Row(name='student', recipe=Recipe('b.py', requires={'work_dirs/a': '1/same'}))"
    teacher = "Row(name='teacher', recipe=Recipe('a.py')), Row(name='same', same_as='1/teacher')"
    paper = three_rows(tmp_path, f'{student}, {teacher}')
    row = paper.find('1/student')[1]
    assert {folder: found.name for folder, (_, found) in paper.required_rows(row).items()} == {'work_dirs/a': 'teacher'}
    assert paper.required_rows(row, 'mini') == {}


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ("Row(name='a', recipe=Recipe('a.py', requires={'x': '1/ab'}))", "no row '1/ab'; did you mean 'a'"),
        (
            "Row(name='a', recipe=Recipe('a.py', requires={'x': '1/b'})), Row(name='b')",
            "row 'a' requires '1/b' on full data, which has none: figures of another paper",
        ),
        (
            "Row(name='a', recipe=Recipe('a.py'), mini=Recipe('a.py', requires={'x': '1/b'})), "
            "Row(name='b', recipe=Recipe('a.py'), mini='too small')",
            "row 'a' requires '1/b' on mini data, which has none: too small",
        ),
        (
            "Row(name='a', recipe=Recipe('a.py', requires={'x': '1/b'})), "
            "Row(name='b', recipe=Recipe('b.py', requires={'y': '1/a'}))",
            'rows that wait for each other: 1/a after 1/b after 1/a',
        ),
        ("Row(name='a', recipe=Recipe('a.py', setup=['tool.py x']))", r"a.py: setup=\['tool.py x'\] follows no row"),
    ],
)
def test_rows_that_cannot_be_run_in_order(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        three_rows(tmp_path, rows)
