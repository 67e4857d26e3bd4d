"""What has no meaning together is refused with its reason: when the model is built, or else in the first step.

``docs/combining.md`` lists them all.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from objective_parts import (
    ATTENTION,
    BCE,
    BOTH,
    FLIP,
    HINT,
    HINTON,
    LINEAR,
    SCALE,
    WSDDN,
    Spy,
    batch,
    build,
    consistency,
    distillation,
    plain,
)
from tiny_spatial_context import NEEDS_MMDET, model_config
from torch import Tensor

from mlic_mm.models import Objective, ViewTransform

MIXUP = dict(augments=dict(type='mlic_mm.MixupOR'))
CSRA = dict(type='CSRAClsHead', num_classes=3, in_channels=16, num_heads=1, lam=0.1)
CLASS_AWARE = dict(type='mlic_mm.ClassAwareDistillLoss', num_classes=3)


def cached(losses: dict | None = None, **options: Any) -> dict:
    """A student whose samples bring the outputs of a teacher."""
    return dict(type='mlic_mm.Distillation', losses=dict(soft=HINTON) if losses is None else losses, **options)


def weak(objectives: dict | None = None, **parts: Any) -> Any:
    return build(objectives, neck=None, head=WSDDN, **parts)


def network(**changes: Any) -> Any:
    """A network with a region proposal network."""
    config = model_config(3)
    objectives = dict(config.objectives, **changes.pop('objectives', {}))
    return build(objectives, **{**{name: config[name] for name in ('backbone', 'neck', 'head')}, **changes})


class Proposer(Spy):
    proposes = True


class Forgetful(Spy):
    def __init__(self) -> None:
        self.seen = []


class Wordless(Spy):
    def compute_losses(self, step: Any) -> Any:
        return step.image.feature.mean()


def two_sizes() -> Any:
    return build(dict(first=distillation(student_size=32), second=distillation(student_size=48)))


BUILT: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # The classifier
    'objective that is none': (
        lambda: build(dict(teacher=HINTON)),
        TypeError,
        r"objectives\['teacher'\]=HintonDistillLoss must be a subclass of mlic_mm\.Objective",
    ),
    'objectives that are a list': (
        lambda: build([distillation()]),  # type: ignore[arg-type]
        TypeError,
        r"objectives=list must be a dictionary of objectives by name: objectives=dict\(name=dict\(type='mlic_mm",
    ),
    'objectives that are empty, and no dictionary': (
        lambda: build(()),  # type: ignore[arg-type]
        TypeError,
        'objectives=tuple must be a dictionary of objectives by name',
    ),
    'objective that is a text': (
        lambda: build(dict(teacher='none')),
        TypeError,
        r"objectives\['teacher'\]='none' must be a subclass .*: write a config, .* or None to drop it",
    ),
    'objective with a number as name': (
        lambda: build({1: distillation()}),
        TypeError,
        r"objectives\[1\] must have a text as name: write '1' in quotes",
    ),
    'misspelt name of an objective to drop': (
        lambda: build(dict(teacher=distillation(), techer=None)),
        ValueError,
        r"objectives\['techer'\]=None must be the name of an objective to drop: did you mean 'teacher'\?",
    ),
    'option of another type': (
        lambda: build(dict(maps=consistency(FLIP, teacher=None))),
        TypeError,
        r"objectives\['maps'\]: AttentionConsistency has no argument 'teacher'; .* needs _delete_=True to give a name",
    ),
    'misspelt option': (
        lambda: build(dict(maps=dict(consistency(), view=[FLIP]))),
        TypeError,
        r"objectives\['maps'\]: AttentionConsistency has no argument 'view'; did you mean 'views'\?$",
    ),
    'objective that is not initialised': (
        lambda: build(dict(maps=Forgetful())),
        TypeError,
        r"objectives\['maps'\]=Forgetful must call super\(\)\.__init__\(\) first",
    ),
    'views of an objective that are not built': (
        lambda: build(dict(maps=Spy(views=[FLIP]))),
        TypeError,
        r"objectives\['maps'\] has a view dict, which must be a ViewTransform: use TASK_UTILS\.build",
    ),
    'objective of an unknown type': (
        lambda: build(dict(maps=dict(type='mlic_mm.AttentionConsistence', views=[FLIP]))),
        KeyError,
        r'mlic_mm\.AttentionConsistence is not in the .*registry',
    ),
    'name with a dot': (
        lambda: build({'first.maps': consistency(FLIP)}),
        ValueError,
        r"objectives\['first\.maps'\] must have another name: .*can't contain",
    ),
    'name of a method': (
        lambda: build(dict(items=consistency(FLIP))),
        ValueError,
        r"objectives\['items'\] must have another name: .*already exists",
    ),
    'objectives without a head': (
        lambda: build(dict(maps=consistency(FLIP)), head=None),
        ValueError,
        'head=None must be a head where objectives are used',
    ),
    'a cached teacher beside another one': (
        lambda: build(dict(cached=distillation() | dict(teacher=None), live=distillation())),
        ValueError,
        'teacher=None must not stand beside another teacher in objectives',
    ),
    'students of two sizes': (
        two_sizes,
        ValueError,
        r"student_size of objectives must be one size, .* sees one image: {'first': 32, 'second': 48}",
    ),
    'two region proposal networks': (
        lambda: weak(dict(one=Proposer(), other=Proposer())),
        ValueError,
        'objectives one and other both propose regions: use one',
    ),
    'proposals under batch augments': (
        lambda: weak(train_cfg=MIXUP),
        ValueError,
        r'cannot mix the proposals that WSDDNHead looks at: remove model\.train_cfg\.augments',
    ),
    # Attention consistency
    'consistency without views': (
        lambda: build(dict(maps=consistency())),
        ValueError,
        r'views=\[\] must have a view: give one, or drop the objective with None',
    ),
    'consistency with one view that is in no list': (
        lambda: build(dict(maps=dict(consistency(), views=FLIP))),
        TypeError,
        r"views=dict must be a list of views: write a list of configs, \[dict\(type='mlic_mm\.FlipView'\)\]",
    ),
    'consistency with None as views': (
        lambda: build(dict(maps=dict(consistency(), views=None))),
        TypeError,
        'views=None must be a list of views',
    ),
    'consistency with the name of a view': (
        lambda: build(dict(maps=consistency(FLIP, 'flip'))),  # type: ignore[arg-type]
        TypeError,
        r"views\[1\]='flip' must be a view: write a list of configs",
    ),
    'composed view with None': (
        lambda: build(dict(maps=consistency(dict(BOTH, views=[FLIP, None])))),
        TypeError,
        r'views\[1\]=None must be a view',
    ),
    'equal views': (
        lambda: build(dict(maps=consistency(FLIP, SCALE, FLIP))),
        ValueError,
        r"views=\['flip', 'scale_32', 'flip'\] must differ: give each view once",
    ),
    'consistency with another loss': (
        lambda: build(dict(maps=consistency(FLIP, loss=BCE))),
        TypeError,
        'loss=MultiLabelBCELoss must be an AttentionConsistencyLoss',
    ),
    'consistent maps of a head without maps': (
        lambda: weak(dict(maps=consistency(FLIP))),
        ValueError,
        r"level='attention' of the loss compares maps of the labels \(level=.* do not\): WSDDNHead after neck None",
    ),
    'consistent maps of a linear head without pooling': (
        lambda: build(dict(maps=consistency(FLIP)), neck=None),
        ValueError,
        'MultiLabelLinearClsHead after neck None has no map per label: use .* after GlobalAveragePooling',
    ),
    'measured maps of a head without maps': (
        lambda: weak(dict(maps=consistency(FLIP, level='label', measure=True))),
        ValueError,
        'measure=True compares maps of the labels: WSDDNHead .* has no map per label',
    ),
    # Distillation
    'distillation without losses': (
        lambda: build(dict(teacher=distillation(losses={}))),
        ValueError,
        'losses={} must have a loss: give one, or drop the objective with None',
    ),
    'distillation whose losses are all dropped': (
        lambda: build(dict(teacher=distillation(losses=dict(soft=None)))),
        ValueError,
        "losses={'soft': None} must have a loss",
    ),
    'distillation with a list of losses': (
        lambda: build(dict(teacher=distillation(losses=[HINTON]))),  # type: ignore[arg-type]
        TypeError,
        r'losses=list must be a dictionary of losses by name: losses=dict\(name=dict',
    ),
    'distillation with None as losses': (
        lambda: build(dict(teacher=dict(distillation(), losses=None))),
        TypeError,
        'losses=None must be a dictionary of losses by name',
    ),
    'loss with a dot in its name': (
        lambda: build(dict(teacher=distillation(losses={'a.b': HINTON}))),
        ValueError,
        r"losses\['a\.b'\] must have another name: .*can't contain",
    ),
    'teacher that is a file': (
        lambda: build(dict(teacher=dict(distillation(), teacher='teacher.pth'))),
        TypeError,
        r"teacher='teacher\.pth' must be a dictionary: teacher=dict\(config=…, checkpoint=…\)",
    ),
    'teacher with a misspelt option': (
        lambda: build(dict(teacher=dict(distillation(), teacher=dict(config='a.py', chekpoint='a.pth')))),
        TypeError,
        r"teacher=dict\(chekpoint=…\) must have options .*Teacher only; did you mean 'checkpoint'\?",
    ),
    'distillation with another loss': (
        lambda: build(dict(teacher=distillation(losses=dict(soft=BCE)))),
        TypeError,
        r"losses\['soft'\]=MultiLabelBCELoss must be a subclass of DistillLoss",
    ),
    'unknown stage': (
        lambda: build(dict(teacher=distillation(stage=3))),
        ValueError,
        'stage=3 must be one of 1, 2, None',
    ),
    'stage 1 without losses of features': (
        lambda: build(dict(teacher=distillation(losses=dict(prediction=CLASS_AWARE), stage=1))),
        ValueError,
        'stage=1 needs a feature-level loss',
    ),
    'student without a size': (
        lambda: build(dict(teacher=distillation(student_size=0))),
        ValueError,
        'student_size=0 must be a whole number at least 1',
    ),
    'layer that the student does not have': (
        lambda: build(dict(teacher=distillation(losses=dict(hint=dict(HINT, student_layer='backbone.layer9'))))),
        ValueError,
        r"MultiLabelClassifier has no module 'backbone\.layer9'; did you mean 'backbone\.layer",
    ),
    'layer that the teacher does not have': (
        lambda: build(dict(teacher=distillation(losses=dict(hint=dict(ATTENTION, teacher_layer='backbone.up'))))),
        ValueError,
        r"ImageClassifier has no module 'backbone\.up'",
    ),
    'cached teacher under batch augments': (
        lambda: build(dict(teacher=cached()), train_cfg=MIXUP),
        ValueError,
        'teacher=None must be a teacher where batch augments are used, because a cached teacher has not seen',
    ),
}
WITH_MMDET: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    'objects under batch augments': (
        lambda: network(train_cfg=MIXUP, head=CSRA),
        ValueError,
        'cannot mix the boxes that RegionProposals learns from',
    ),
    'consistent maps of the head of spatial context': (
        lambda: network(objectives=dict(maps=consistency(FLIP))),
        ValueError,
        'SpatialContextHead after neck FPN has no map per label',
    ),
}


@pytest.mark.parametrize('name', [*BUILT, *(pytest.param(name, marks=NEEDS_MMDET) for name in WITH_MMDET)])
def test_when_the_model_is_built(name: str) -> None:
    construct, error, message = (BUILT | WITH_MMDET)[name]
    with pytest.raises(error, match=message):
        construct()


class Negative(ViewTransform):
    """A view of one's own that says nothing about boxes."""

    name = 'negative'

    def image(self, images: Tensor) -> Tensor:
        return -images

    def move(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        return maps


class Same(Objective):
    """Has a loss of a given name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def compute_losses(self, step: Any) -> dict[str, Tensor]:
        return {self.name: step.image.feature.mean()}


def step(model: Any, *, teacher_logits: bool = False, proposals: bool = False) -> Any:
    images, samples = batch(proposals=proposals)
    for sample in samples:
        if teacher_logits:
            sample.set_field(torch.zeros(3), 'teacher_logits')
    return model.loss(images, samples)


def stage_1_later() -> Any:
    model = build(dict(teacher=distillation(losses=dict(prediction=CLASS_AWARE))))
    model.objectives.teacher.stage = 1  # as DistillStageHook does
    return model


STEPS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    'neither teacher nor cache': (
        lambda: step(build(dict(teacher=cached()))),
        ValueError,
        r'Distillation has no teacher: set teacher=dict.* or load a cached one .* mlic_mm\.LoadTeacher',
    ),
    'teacher and cache under batch augments': (
        lambda: step(build(dict(teacher=distillation()), train_cfg=MIXUP), teacher_logits=True),
        ValueError,
        'the cached teacher has not seen the images that batch augments make',
    ),
    'two losses of one name': (
        lambda: step(build(dict(a=Same('b_c'), a_b=Same('c')))),
        ValueError,
        "loss_a_b_c is the name of two losses: give the objective 'a_b' another name",
    ),
    'stage 1, set later, without losses of features': (
        lambda: step(stage_1_later()),
        ValueError,
        'stage=1 needs a feature-level loss',
    ),
    'teacher that looks at regions of samples without any': (
        lambda: step(build(dict(teacher=distillation(weak(type='ImageClassifier'))))),
        ValueError,
        r'WSDDNHead: sample 0 has no proposals: load them in the pipeline with mlic_mm\.LoadProposals',
    ),
    'view that does not move the boxes of a head': (
        lambda: step(weak(dict(maps=consistency(Negative(), level='label'))), proposals=True),  # type: ignore[arg-type]
        NotImplementedError,
        r'Negative does not move boxes, but the samples have some: implement its method boxes\(\)',
    ),
    'teacher with other labels': (
        lambda: step(build(dict(teacher=distillation(plain(head=dict(LINEAR, num_classes=4)))))),
        ValueError,
        'both must have the same images and labels',
    ),
}
STEPS |= {
    'no head': (lambda: step(build(head=None)), ValueError, 'head=None must be a head in training'),
    'losses that are no dictionary': (
        lambda: step(build(dict(mine=Wordless()))),
        TypeError,
        r"objectives\['mine'\]: compute_losses of Wordless must return a dictionary of losses by name, not Tensor",
    ),
}
STEPS_WITH_MMDET: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    'samples without objects': (
        lambda: step(network()),
        ValueError,
        r'RegionProposals: sample .* has no gt_instances: in training, set with_boxes=True of the data set',
    ),
}


@pytest.mark.parametrize('name', [*STEPS, *(pytest.param(name, marks=NEEDS_MMDET) for name in STEPS_WITH_MMDET)])
def test_in_a_step(name: str) -> None:
    """What only the samples, the teacher or a hook show."""
    construct, error, message = (STEPS | STEPS_WITH_MMDET)[name]
    with pytest.raises(error, match=message):
        construct()
