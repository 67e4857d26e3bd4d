"""Learning from a teacher."""

import logging
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.logging import print_log
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.data_preprocessors import denormalize
from mlic_mm.models.losses import DistillLoss, DistillOutputs, FeatureDistillLoss
from mlic_mm.models.teachers import Teacher
from mlic_mm.models.utils.layer_maps import find_module
from mlic_mm.registry import MODELS
from mlic_mm.utils.boxes import image_frame
from mlic_mm.utils.choices import check_choice, check_range, did_you_mean

from .named_parts import module_dict, named_parts, shown
from .objective import Objective, Step


@MODELS.register_module()
class Distillation(Objective):
    r"""Losses to the outputs of a teacher.

    `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018), section 3.2. Stage 1 minimises the
    feature-level losses alone (:math:`\sum_\ell L_f^\ell`): neither labels nor other objectives are learnt. Stage 2
    minimises the loss of the labels and the prediction-level losses (:math:`L_p + \lambda L_{p'}`, Eq. 11). Without a
    stage, all losses are minimised. Stage 2 starts from the weights of stage 1 by ``load_from``, or follows in the same
    training with :class:`~mlic_mm.engine.hooks.DistillStageHook`.

    Samples with the cached outputs of a teacher (:class:`~mlic_mm.datasets.transforms.LoadTeacher`) need no teacher.
    For other samples, the teacher looks at the same images, in the size in which they are loaded. It looks at the
    images themselves, not at the views of other objectives. It is built when training begins, not for tests, and is
    never saved.

    Args:
        losses: Configs of :class:`DistillLoss` by name. Several losses share one look of the teacher. A config that
            inherits drops a loss with None.
        teacher: Options of :class:`~mlic_mm.models.Teacher`: ``dict(config=…, checkpoint=…)``; None for samples with
            cached outputs.
        stage: 1, 2 or None.
        student_size: Side of the square that the student sees in training, in pixels, antialiased, if images are loaded
            larger for the teacher. By default the size in which images are loaded. Tests take images as they are.

    Raises:
        ValueError: There are no losses; the stage is unknown or has no losses; the model has no such layer; batch
            augments make images that a cached teacher has not seen. In training: there is neither a teacher nor cached
            outputs.
        TypeError: ``losses`` is no dictionary, a loss is no :class:`DistillLoss`, or the teacher gets an option that it
            does not have.

    Examples:
        >>> small = dict(
        ...     backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...     neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...     head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ... )
        >>> student = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.MultiLabelClassifier',
        ...         **small,
        ...         objectives=dict(
        ...             teacher=dict(
        ...                 type='mlic_mm.Distillation',
        ...                 teacher=dict(model=ImageClassifier(**small)),
        ...                 losses=dict(soft=dict(type='mlic_mm.HintonDistillLoss', student_temperature=5.0)),
        ...             ),
        ...         ),
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, 1.0]))
        >>> sorted(student.loss(torch.rand(1, 3, 64, 64), [sample]))
        ['loss', 'loss_teacher_soft']
    """

    def __init__(
        self,
        losses: Mapping[str, dict | nn.Module],
        teacher: Mapping[str, Any] | Teacher | None = None,
        stage: Literal[1, 2] | None = None,
        student_size: int | None = None,
    ) -> None:
        super().__init__()
        named = named_parts('losses', losses)
        built = {name: MODELS.build(loss) if isinstance(loss, dict) else loss for name, loss in named.items()}
        for name, loss in built.items():
            if not isinstance(loss, DistillLoss):
                raise TypeError(f'losses[{name!r}]={shown(loss)} must be a subclass of DistillLoss')
        if not built:
            raise ValueError(f'losses={dict(losses)} must have a loss: give one, or drop the objective with None')
        _check_teacher(teacher)
        if student_size is not None:
            check_range('student_size', student_size, at_least=1, whole=True)
        self.losses = module_dict('losses', built)
        self.student_size = student_size
        self.stage = stage
        self._chosen()
        features = [loss for loss in built.values() if isinstance(loss, FeatureDistillLoss)]
        self.layers = tuple(dict.fromkeys(loss.student_layer for loss in features))
        self._teacher_layers = [loss.teacher_layer for loss in features]
        self._teacher_cfg = teacher
        self.teacher: Teacher | None = None
        self._told = False

    @property
    def cached(self) -> bool:
        """Whether the teacher is read from a cache."""
        return self._teacher_cfg is None

    @property
    def alone(self) -> bool:
        """See :class:`Objective`."""
        return self.stage == 1

    @property
    def needs_logits(self) -> bool:  # type: ignore[override]
        """See :class:`Objective`."""
        return any(loss.level == 'prediction' for loss in self._chosen().values())

    def check(self, model: ImageClassifier) -> None:
        """See :class:`Objective`."""
        for layer in self.layers:
            find_module(model, layer)
        if self._teacher_cfg is None and getattr(model.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                'teacher=None must be a teacher where batch augments are used, because a cached teacher has not seen '
                'the images that they make: set teacher=dict(config=…, checkpoint=…), or remove '
                'model.train_cfg.augments'
            )

    def start(self, device: torch.device) -> None:
        """Build the teacher.

        Raises:
            FileNotFoundError: There is no such config or checkpoint.
        """
        if self._teacher_cfg is None or self.teacher is not None:
            return
        if isinstance(self._teacher_cfg, Teacher):
            self.teacher = self._teacher_cfg
        else:
            options = dict(self._teacher_cfg)
            options['layers'] = [*options.get('layers', ()), *self._teacher_layers]
            try:
                self.teacher = Teacher(**options)
            except FileNotFoundError as error:
                raise FileNotFoundError(f'{error}: train the teacher first') from error
        self.teacher.model.to(device)

    def compute_losses(self, step: Step) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        teacher = self._teach(step)
        maps = {name: maps for name, maps in step.layers.items() if name in self.layers}
        student = DistillOutputs(step.image.logits, maps)
        return {name: loss(student, teacher) for name, loss in self._chosen().items()}

    def _chosen(self) -> dict[str, Any]:
        """Return the losses of the stage by name."""
        check_choice('stage', self.stage, (1, 2, None))
        levels = {1: ['feature'], 2: ['prediction']}.get(self.stage or 0, ['feature', 'prediction'])
        chosen = {name: loss for name, loss in self.losses.items() if loss.level in levels}
        if self.stage == 1 and not chosen:
            raise ValueError('stage=1 needs a feature-level loss in losses, such as mlic_mm.RoIFeatureDistillLoss')
        return chosen

    def _teach(self, step: Step) -> DistillOutputs:
        if 'teacher_logits' not in step.samples[0]:
            if self.teacher is None:
                raise ValueError(
                    'Distillation has no teacher: set teacher=dict(config=…, checkpoint=…) of the objective, or load a '
                    'cached one in the pipeline with mlic_mm.LoadTeacher and mlic_mm.PackProposals'
                )
            return self.teacher(denormalize(step.inputs, step.data_preprocessor), step.proposed)
        if getattr(step.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                'Distillation: the cached teacher has not seen the images that batch augments make: remove '
                'model.train_cfg.augments, or remove LoadTeacher from the pipeline and set teacher of the objective'
            )
        if self._teacher_cfg is not None and not self._told and not torch.compiler.is_compiling():
            self._told = True
            text = 'samples have a cached teacher, so teacher of Distillation is not used: remove one of them'
            print_log(text, logger='current', level=logging.WARNING)
        return cached_outputs(step.inputs, step.samples)

    def _apply(self, fn: Any, recurse: bool = True) -> 'Distillation':
        if self.teacher is not None:
            self.teacher.model._apply(fn, recurse)  # devices and memory formats are those of the student
        return super()._apply(fn, recurse)


def _check_teacher(teacher: Any) -> None:
    """Refuse a teacher that is neither built nor has options of :class:`Teacher`."""
    if teacher is None or isinstance(teacher, Teacher):
        return
    if not isinstance(teacher, Mapping):
        value = repr(str(teacher)) if isinstance(teacher, Path) else shown(teacher)
        raise TypeError(f'teacher={value} must be a dictionary: teacher=dict(config=…, checkpoint=…)')
    options = signature(Teacher).parameters
    for option in teacher:
        if option not in options:
            known = did_you_mean(str(option), options, 1)
            raise TypeError(f'teacher=dict({option}=…) must have options of mlic_mm.models.Teacher only{known}')


def cached_outputs(inputs: Tensor, data_samples: list[DataSample]) -> DistillOutputs:
    """Return the outputs that :class:`~mlic_mm.datasets.transforms.LoadTeacher` has put into samples, as a batch.

    mmpretrain's data preprocessor moves only labels to the device of the images, so this moves the rest. Images may
    have different numbers of regions: missing ones get the logits 0 and −inf.
    """

    def gather(key: str) -> list[Tensor] | None:
        return [sample.get(key).to(inputs.device) for sample in data_samples] if key in data_samples[0] else None

    def pad(key: str, value: float) -> Tensor | None:
        matrices = gather(key)
        if matrices is None:
            return None
        return nn.utils.rnn.pad_sequence(matrices, batch_first=True, padding_value=value)

    frame = inputs.new_tensor(image_frame(inputs.size(3), inputs.size(2)), dtype=torch.float32)
    maps = [sample.get('teacher_maps') or {} for sample in data_samples]
    return DistillOutputs(
        torch.stack(gather('teacher_logits') or []),
        # A cache has half precision, which autocast on a CPU does not take.
        {name: torch.stack([each[name].float() for each in maps]).to(inputs.device) for name in maps[0]},
        pad('teacher_cls_logits', 0),
        pad('teacher_det_logits', -torch.inf),
        [boxes / frame for boxes in gather('proposals') or []],
        gather('proposal_scores') or [],
    )
