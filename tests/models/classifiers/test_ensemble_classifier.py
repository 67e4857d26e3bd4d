import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_checkpoint as mmengine_load_checkpoint
from mmpretrain.models import ImageClassifier
from mmpretrain.models.heads import LinearClsHead, MultiLabelClsHead
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor, nn

from mlic_mm.models import EnsembleClassifier
from mlic_mm.registry import MODELS
from mlic_mm.safe_load.checkpoint import UnsafeCheckpointError

CLASSES = ('bird', 'cat', 'dog', 'sofa')


def network(num_classes: int = 4, mean: float = 127.0) -> dict:
    """Model config of a small convolution net."""
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(mean=[mean, mean + 10, mean - 10], std=[60.0, 50.0, 40.0], to_rgb=True),
        backbone=dict(
            type='ResNet',
            depth=18,
            num_stages=1,
            strides=(2,),
            dilations=(1,),
            out_indices=(0,),
            stem_channels=4,
            base_channels=4,
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='MultiLabelLinearClsHead', num_classes=num_classes, in_channels=4),
    )


def built(seed: int, **kwargs) -> ImageClassifier:
    """Such a net with spread-out random weights, different statistics included."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(network(**kwargs)).eval()
    for name, value in model.state_dict().items():
        if name.endswith('running_var'):
            value.uniform_(0.5, 2.0)
        elif name.endswith('running_mean') or name == 'head.fc.weight':
            value.normal_()
    return model


class Constant(nn.Module):
    """Backbone whose features are the same logits for every image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (self.logits.expand(len(inputs), -1),)


class Pixels(nn.Module):
    """Backbone whose features are the pixels that it sees."""

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (inputs.flatten(1),)


def classifier(backbone: nn.Module, head: nn.Module | None = None, **preprocess) -> ImageClassifier:
    preprocess = dict(type='mmpretrain.ClsDataPreprocessor', **preprocess)
    return ImageClassifier(backbone, head=head or MultiLabelClsHead(), data_preprocessor=preprocess)


def constant(*logits: float) -> dict:
    return dict(model=classifier(Constant(list(logits))))


def images(number: int = 3, height: int = 32, width: int = 32) -> Tensor:
    """Raw images of 4 × 4 patches of colour, with noise."""
    generator = torch.Generator().manual_seed(number)
    patches = 250 * torch.rand(number, 3, 4, 4, generator=generator)
    noise = 6 * torch.rand(number, 3, height, width, generator=generator)
    return (F.interpolate(patches, size=(height, width)) + noise).byte()


def probabilities(model: ImageClassifier, raw: Tensor) -> Tensor:
    """What the member alone says of raw images."""
    with torch.no_grad():
        return torch.stack([sample.pred_score for sample in model.test_step(dict(inputs=raw))])


def scores_of(ensemble: EnsembleClassifier, raw: Tensor) -> Tensor:
    with torch.no_grad():
        return ensemble(raw).sigmoid()


def logit(p: float) -> float:
    return float(torch.tensor(p, dtype=torch.float64).logit())


# --- Eq. 3 ------------------------------------------------------------------------------------------------------------


def test_mean_of_probabilities_by_hand():
    ensemble = EnsembleClassifier([constant(logit(0.2), logit(0.9)), constant(logit(0.6), logit(0.5))])
    torch.testing.assert_close(scores_of(ensemble, images(2)), torch.tensor([[0.4, 0.7], [0.4, 0.7]]))
    of_logits = torch.tensor([(logit(0.2) + logit(0.6)) / 2]).sigmoid()  # 0.38, what a mean of logits would give
    assert abs(of_logits.item() - 0.4) > 0.01


def test_weights_by_hand():
    members = [
        dict(**constant(logit(0.2), logit(0.9)), weight=3),
        dict(**constant(logit(0.6), logit(0.5)), weight=1.0),
    ]
    torch.testing.assert_close(scores_of(EnsembleClassifier(members), images(1)), torch.tensor([[0.3, 0.8]]))


def test_a_weight_is_of_the_member_and_not_of_its_views():
    members = [dict(**constant(logit(0.2)), sizes=[16, 24, 32], flip=True), constant(logit(0.6))]
    torch.testing.assert_close(scores_of(EnsembleClassifier(members), images(1)), torch.tensor([[0.4]]))


@pytest.mark.parametrize('value', [0.0, 17.0, 60.0, -60.0, 1e4, -1e4])
def test_logits_are_exact_where_probabilities_round(value):
    """σ(60) is 1 in float32, whose logit is infinite."""
    ensemble = EnsembleClassifier([constant(value), constant(value)])
    torch.testing.assert_close(ensemble(images(1)), torch.tensor([[value]]), rtol=1e-6, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    members=st.lists(
        st.tuples(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3), st.floats(0.01, 100)),
        min_size=1,
        max_size=4,
    ),
    order=st.randoms(use_true_random=False),
)
def test_order_does_not_matter_and_scores_stay_between_the_members(members, order):
    def fuse(chosen) -> Tensor:
        return scores_of(EnsembleClassifier([dict(**constant(*z), weight=w) for z, w in chosen]), images(1))

    fused = fuse(members)
    shuffled = list(members)
    order.shuffle(shuffled)
    torch.testing.assert_close(fuse(shuffled), fused, rtol=1e-5, atol=1e-7)
    each = torch.tensor([z for z, _ in members], dtype=torch.float64).sigmoid()
    weights = torch.tensor([w for _, w in members], dtype=torch.float64)[:, None]
    expected = (each * weights).sum(0) / weights.sum()
    torch.testing.assert_close(fused[0].double(), expected, rtol=1e-4, atol=1e-6)
    assert (fused[0] >= each.amin(0) - 1e-6).all()
    assert (fused[0] <= each.amax(0) + 1e-6).all()


# --- views ------------------------------------------------------------------------------------------------------------


def test_members_with_views_equal_separate_models():
    """Two nets of different normalisation; sizes, mirror images and weights; the same done in separate steps."""
    one, two = built(0), built(1, mean=90.0)
    raw = images(3)
    ensemble = EnsembleClassifier(
        [dict(model=one, sizes=[24, [16, 32], 32], flip=True, weight=2), dict(model=two, sizes=40)]
    )
    sizes = [(24, 24), (16, 32), (32, 32)]
    views = [F.interpolate(raw.float(), size=size, mode='bilinear', antialias=True) for size in sizes]
    views[2] = raw.float()
    of_one = torch.stack([probabilities(one, v) for view in views for v in (view, view.flip(-1))]).mean(0)
    of_two = probabilities(two, F.interpolate(raw.float(), size=(40, 40), mode='bilinear', antialias=True))
    torch.testing.assert_close(scores_of(ensemble, raw), (2 * of_one + of_two) / 3, rtol=0, atol=1e-6)
    assert of_one.std() > 0.01
    assert (of_one - of_two).abs().max() > 0.01


def test_one_member_without_views_is_the_member():
    model, raw = built(0), images(4)
    torch.testing.assert_close(
        scores_of(EnsembleClassifier([dict(model=model)]), raw), probabilities(model, raw), rtol=0, atol=1e-6
    )


def test_identical_members_equal_the_member():
    model, raw = built(0), images(4)
    three = EnsembleClassifier([dict(model=model, weight=w) for w in (1, 2, 0.3)])
    torch.testing.assert_close(scores_of(three, raw), probabilities(model, raw), rtol=0, atol=1e-6)


def test_shrinking_equals_pillows(data_root):
    """Pillow's bilinear filter is antialiased too; a photograph shrunk to 2 × 3 pixels."""
    path = next((data_root / 'VOCdevkit/VOC2007/JPEGImages').glob('*.jpg'))
    photo = np.asarray(Image.open(path).convert('RGB'))
    channels = [Image.fromarray(photo[..., c].astype(np.float32), mode='F').resize((3, 2), 2) for c in range(3)]
    expected = torch.from_numpy(np.stack([np.asarray(channel) for channel in channels])).flatten()
    ensemble = EnsembleClassifier([dict(model=classifier(Pixels(), mean=[127.0] * 3, std=[1.0] * 3), sizes=[[2, 3]])])
    raw = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None]
    torch.testing.assert_close(ensemble(raw)[0], expected - 127, rtol=0, atol=2e-3)


def test_batch_equals_one_by_one_and_bytes_equal_floats():
    ensemble = EnsembleClassifier([dict(model=built(0), sizes=[24, 32], flip=True), dict(model=built(1))])
    raw = images(5)
    together = scores_of(ensemble, raw)
    apart = torch.cat([scores_of(ensemble, raw[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)
    assert torch.equal(together, scores_of(ensemble, raw.float()))


def test_views_do_not_load_a_member_twice():
    model = built(0)
    ensemble = EnsembleClassifier([dict(model=model, sizes=[16, 24, 32], flip=True)])
    assert sum(p.numel() for p in ensemble.parameters()) == sum(p.numel() for p in model.parameters())


def test_autocast_changes_scores_a_little():
    ensemble, raw = (
        EnsembleClassifier([dict(model=built(0), sizes=[24, 32], flip=True), dict(model=built(1))]),
        images(),
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = scores_of(ensemble, raw)
    assert half.dtype == torch.float32
    assert 0 < (half - scores_of(ensemble, raw)).abs().max() < 0.05


# --- as a model of mmengine and mmpretrain ----------------------------------------------------------------------------


def test_predictions_agree_with_logits_and_keep_what_samples_hold():
    ensemble = EnsembleClassifier([dict(model=built(0), flip=True), dict(model=built(1))])
    samples = [DataSample(metainfo=dict(img_id=f'{i}')).set_gt_score(torch.ones(4)) for i in range(3)]
    with torch.no_grad():
        found = ensemble.test_step(dict(inputs=images(3), data_samples=samples))
    expected = scores_of(ensemble, images(3))
    assert [sample.img_id for sample in found] == ['0', '1', '2']
    assert all(torch.equal(sample.gt_score, torch.ones(4)) for sample in found)
    assert torch.equal(torch.stack([sample.pred_score for sample in found]), expected)
    assert [s.pred_label.tolist() for s in found] == [torch.where(row >= 0.5)[0].tolist() for row in expected]


def test_top_k_of_the_members_head_decides_labels():
    member = classifier(Constant([3.0, -1.0, 5.0]), MultiLabelClsHead(topk=1))
    assert EnsembleClassifier([dict(model=member)])(images(1), mode='predict')[0].pred_label.tolist() == [2]


def test_training_is_refused():
    with pytest.raises(ValueError, match='train each member with its own config'):
        EnsembleClassifier([constant(0.0)])(images(1), mode='loss')
    with pytest.raises(ValueError, match="mode='score'"):
        EnsembleClassifier([constant(0.0)])(images(1), mode='score')


def test_stays_in_eval_mode_with_its_weights():
    ensemble = EnsembleClassifier([dict(model=built(0).train()), dict(model=built(1))])
    before, raw = copy.deepcopy(ensemble.state_dict()), images()
    expected = scores_of(ensemble, raw)
    ensemble.train()
    ensemble.init_weights()
    assert torch.equal(scores_of(ensemble, raw), expected)
    assert all(torch.equal(value, before[key]) for key, value in ensemble.state_dict().items())


def save(model: nn.Module, path: Path, classes: tuple[str, ...] | None = None) -> str:
    meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


def test_one_checkpoint_of_the_whole(tmp_path):
    """Members given as dictionaries, weights from one file, by mmengine's own loader."""
    options = [dict(sizes=[24, 32], flip=True, weight=2), dict()]
    whole = EnsembleClassifier([dict(model=built(i), **option) for i, option in enumerate(options)])
    assert {key.split('.')[1] for key in whole.state_dict()} == {'0', '1'}
    assert all(key.startswith('members.') for key in whole.state_dict())
    file = save(whole, tmp_path / 'whole.pth')
    again = EnsembleClassifier([dict(model=network(), **option) for option in options])
    with pytest.raises(ValueError, match=r'members\[0\].*members\[1\].*no checkpoint given'):
        again(images(1))
    mmengine_load_checkpoint(again, file)
    assert torch.equal(scores_of(again, images()), scores_of(whole, images()))


@pytest.mark.parametrize('number', [0, 1, 3])
def test_checkpoint_of_something_else_is_refused(tmp_path, number):
    """mmengine itself would warn and leave the members random."""
    nets = [dict(model=built(i)) for i in range(number)]
    file = save(EnsembleClassifier(nets) if nets else built(0), tmp_path / 'other.pth')
    four = EnsembleClassifier([dict(model=network())] * 4)
    with pytest.raises(ValueError, match=rf'no weights members\.{number}\..*ensemble of 4'):
        mmengine_load_checkpoint(four, file)


# --- members from files -----------------------------------------------------------------------------------------------

CONFIG = """
default_scope = 'mmpretrain'
data_preprocessor = {preprocess!r}
model = {model!r}
"""


def member_files(folder: Path, name: str, seed: int, classes=CLASSES, mean: float = 127.0, **kwargs):
    """Config and checkpoint of a net whose normalisation stands beside the model, as in our base configs."""
    model = network(mean=mean, **kwargs)
    preprocess = model.pop('data_preprocessor')
    (folder / f'{name}.py').write_text(CONFIG.format(preprocess=preprocess, model=model))
    net = built(seed, mean=mean, **kwargs)
    return net, dict(config=str(folder / f'{name}.py'), checkpoint=save(net, folder / f'{name}.pth', classes))


def test_members_from_configs_and_checkpoints(tmp_path):
    one, first = member_files(tmp_path, 'one', 0)
    two, second = member_files(tmp_path, 'two', 1, mean=80.0)
    # What a Runner passes on from the ensemble's own config must not normalise twice.
    ensemble = EnsembleClassifier(
        [first, dict(second, weight=3)], data_preprocessor=dict(mean=[1.0] * 3, std=[9.0] * 3)
    )
    raw = images()
    expected = (probabilities(one, raw) + 3 * probabilities(two, raw)) / 4
    torch.testing.assert_close(scores_of(ensemble, raw), expected, rtol=0, atol=1e-6)
    assert ensemble.classes == CLASSES
    assert ensemble.num_classes == 4


def test_normalisation_of_members_that_state_none(tmp_path):
    model = network()
    preprocess = model.pop('data_preprocessor')
    whole = EnsembleClassifier([dict(model=model)], data_preprocessor=preprocess)
    net = built(0)
    whole.members[0].load_state_dict(net.state_dict())
    whole.load_state_dict(whole.state_dict())
    torch.testing.assert_close(scores_of(whole, images()), probabilities(net, images()), rtol=0, atol=1e-6)


def test_other_order_of_labels_is_refused(tmp_path):
    _, first = member_files(tmp_path, 'one', 0)
    _, second = member_files(tmp_path, 'two', 1, classes=('bird', 'dog', 'cat', 'sofa'))
    with pytest.raises(ValueError, match=r"index 1: checkpoint .*two\.pth.*'dog'.*checkpoint .*one\.pth.*'cat'"):
        EnsembleClassifier([first, second])


def test_other_number_of_labels_is_refused(tmp_path):
    _, first = member_files(tmp_path, 'one', 0, classes=None)
    _, second = member_files(tmp_path, 'two', 1, classes=None, num_classes=5)
    with pytest.raises(ValueError, match=r'members\[1\] scores 5 labels, but members\[0\] 4'):
        EnsembleClassifier([first, second])
    with pytest.raises(ValueError, match='score 1 and 2 labels'):  # heads that keep no number
        EnsembleClassifier([constant(1.0), constant(1.0, 2.0)])(images(1))


def test_missing_files_are_named(tmp_path):
    _, first = member_files(tmp_path, 'one', 0)
    with pytest.raises(FileNotFoundError, match=r'no config .*absent\.py'):
        EnsembleClassifier([dict(first, config=str(tmp_path / 'absent.py'))])
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*absent\.pth.* has one\.pth'):
        EnsembleClassifier([dict(first, checkpoint=str(tmp_path / 'absent.pth'))])


def test_checkpoint_that_does_not_fit_is_refused(tmp_path):
    _, first = member_files(tmp_path, 'one', 0)
    _, second = member_files(tmp_path, 'two', 1, num_classes=5)
    with pytest.raises(ValueError, match=r'two\.pth has head\.fc\.weight of shape .*config that the checkpoint'):
        EnsembleClassifier([dict(first, checkpoint=second['checkpoint'])])
    weights = built(0).state_dict()
    del weights['head.fc.bias']
    torch.save(weights, tmp_path / 'part.pth')
    with pytest.raises(ValueError, match=r'part\.pth lacks 1 of the \d+ tensors.*head\.fc\.bias'):
        EnsembleClassifier([dict(first, checkpoint=str(tmp_path / 'part.pth'))])


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_of_a_checkpoint_is_executed(tmp_path):
    net, first = member_files(tmp_path, 'one', 0)
    torch.save(dict(state_dict=net.state_dict(), more=Payload(tmp_path / 'executed')), tmp_path / 'evil.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'evil\.pth'):
        EnsembleClassifier([dict(first, checkpoint=str(tmp_path / 'evil.pth'))])
    assert not (tmp_path / 'executed').exists()


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(flips=True), "no option 'flips'; did you mean 'flip'"),
        (dict(config='a.py'), 'either config'),
        (dict(checkpoint='a.pth'), 'a built model has its weights'),
        (dict(weight=0), 'weight=0 must be a number above 0'),
        (dict(weight=-1.0), 'weight=-1.0 must'),
        (dict(weight=float('nan')), 'weight=nan must'),
        (dict(weight=True), 'weight=True must be a number'),
        (dict(weight='2'), "weight='2' must be a number"),
        (dict(sizes=0), 'sizes=0 must be the side'),
        (dict(sizes=[448, '512']), "sizes='512' must"),
        (dict(sizes=[[1, 2, 3]]), r'sizes=\[1, 2, 3\] must'),
        (dict(sizes=[]), r'sizes=\[\] must have a size'),
        (dict(flip='yes'), "flip='yes' must be one of True, False"),
    ],
)
def test_bad_options(option, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        EnsembleClassifier([constant(0.0), constant(0.0) | option])
    assert str(error.value).startswith('members[1]')


def test_bad_members():
    with pytest.raises(ValueError, match=r'members=\[\] must have a member'):
        EnsembleClassifier([])
    with pytest.raises(TypeError, match=r'members\[0\]=.a\.py. must be dict'):
        EnsembleClassifier(['a.py'])
    with pytest.raises(ValueError, match='either config'):
        EnsembleClassifier([dict(checkpoint='a.pth')])


def test_members_must_score_by_a_sigmoid():
    softmax = classifier(Pixels(), LinearClsHead(num_classes=3, in_channels=12))
    with pytest.raises(ValueError, match=r'members\[0\].*head LinearClsHead, whose scores are not sigmoids'):
        EnsembleClassifier([dict(model=softmax)])

    class OwnScores(MultiLabelClsHead):
        def _get_predictions(self, cls_score, data_samples):
            return super()._get_predictions(2 * cls_score, data_samples)

    with pytest.raises(ValueError, match='head OwnScores'):
        EnsembleClassifier([dict(model=classifier(Pixels(), OwnScores()))])


# --- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.filterwarnings('ignore')
def test_onnx_gives_the_same_scores(tmp_path):
    """Two nets, a size that is made inside the graph, mirror images; any number of images."""
    for package in ('onnx', 'onnxscript'):
        pytest.importorskip(package, reason='export needs onnx and onnxscript: pip install -e .[tests]')
    runtime = pytest.importorskip('onnxruntime', reason='needs onnxruntime: pip install -e .[tests]')
    ensemble = EnsembleClassifier([dict(model=built(0), sizes=24, flip=True), dict(model=built(1), weight=2)])
    file = tmp_path / 'ensemble.onnx'
    torch.onnx.export(
        ensemble,
        (images(2).float(),),
        file,
        dynamo=True,
        verbose=False,
        input_names=['images'],
        output_names=['logits'],
        dynamic_shapes=dict(inputs={0: torch.export.Dim('batch')}),
    )
    session = runtime.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    for number in (1, 2, 5):
        (logits,) = session.run(None, dict(images=images(number).float().numpy()))
        torch.testing.assert_close(
            torch.from_numpy(logits).sigmoid(), scores_of(ensemble, images(number)), rtol=0, atol=1e-5
        )
