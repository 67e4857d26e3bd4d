"""A student that learns from labels and from a teacher."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.data_preprocessors import denormalize
from mlic_mm.models.losses import DistillLoss, DistillOutputs, FeatureDistillLoss, leave_out_unknown
from mlic_mm.models.utils.layer_maps import find_module, tapped
from mlic_mm.registry import MODELS
from mlic_mm.utils.boxes import image_frame
from mlic_mm.utils.choices import check_choice, check_range

from .teacher import Teacher


@MODELS.register_module()
class DistillClassifier(ImageClassifier):
    r"""``ImageClassifier`` whose training adds losses to a teacher's outputs.

    `KD from WSD <https://yongchengliu.github.io/MLIC-KD-WSD/>`_ (Liu et al. 2018), section 3.2. Stage 1 minimises the
    feature-level losses alone (:math:`\sum_\ell L_f^\ell`). Stage 2 minimises the loss of the labels and the
    prediction-level losses (:math:`L_p + \lambda L_{p'}`, Eq. 11). Without a stage, all losses are minimised. Stage 2
    starts from the weights of stage 1 by ``load_from``, or follows in the same training with
    :class:`~mlic_mm.engine.hooks.DistillStageHook`.

    Samples with the cached outputs of a teacher (:class:`~mlic_mm.datasets.transforms.LoadTeacher`) need no teacher.
    For other samples, the teacher looks at the same images, in the size in which they are loaded.

    In tests, this is the plain classifier with the same forward pass. Checkpoints have its keys, and those of the
    losses' own weights under ``distill.``. The teacher is never saved. It is built when training begins, not for tests.

    Args:
        backbone: As for ``ImageClassifier``.
        distill: Configs of :class:`DistillLoss` by name. Their values are logged as ``loss_<name>``.
        teacher: Options of :class:`Teacher`: ``dict(config=…, checkpoint=…)``; None for samples with cached outputs.
        stage: 1, 2 or None.
        student_size: Side of the square that the student sees in training, in pixels, antialiased, if images are loaded
            larger for the teacher. By default the size in which images are loaded. Tests take images as they are.
        neck: As for ``ImageClassifier``.
        head: Any multi-label head.
        **kwargs: As for ``ImageClassifier``: ``pretrained, train_cfg, data_preprocessor, init_cfg``.

    Raises:
        ValueError: There are no losses; the stage is unknown or has no losses; the model has no such layer. In
            training: there is neither a teacher nor cached outputs, or there are batch augments beside cached outputs.
        TypeError: A loss is no :class:`DistillLoss`.

    Examples:
        >>> small = dict(
        ...     type='ImageClassifier',
        ...     backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...     neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...     head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ... )
        >>> student = MODELS.build(
        ...     dict(
        ...         small,
        ...         type='mlic_mm.DistillClassifier',
        ...         teacher=dict(model=ImageClassifier(**{k: v for k, v in small.items() if k != 'type'})),
        ...         distill=dict(soft=dict(type='mlic_mm.HintonDistillLoss', student_temperature=5.0)),
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, 1.0]))
        >>> sorted(student.loss(torch.rand(1, 3, 64, 64), [sample]))
        ['loss', 'loss_soft']
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        distill: Mapping[str, dict | nn.Module],
        teacher: Mapping[str, Any] | Teacher | None = None,
        stage: Literal[1, 2] | None = None,
        student_size: int | None = None,
        neck: dict | nn.Module | None = None,
        head: dict | nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, neck=neck, head=head, **kwargs)
        leave_out_unknown(self)
        self.distill = nn.ModuleDict()
        for name, loss in distill.items():
            built = MODELS.build(loss) if isinstance(loss, dict) else loss
            if not isinstance(built, DistillLoss):
                raise TypeError(f'distill[{name!r}]={type(built).__name__} must be a subclass of DistillLoss')
            self.distill[name] = built
        if not self.distill:
            raise ValueError('distill={} must have a loss: without any, use ImageClassifier')
        if student_size is not None:
            check_range('student_size', student_size, at_least=1, whole=True)
        self.stage = stage
        self.student_size = student_size
        self._losses(stage)
        features = [loss for loss in self.distill.values() if isinstance(loss, FeatureDistillLoss)]
        self.layers = tuple(dict.fromkeys(loss.student_layer for loss in features))
        for layer in self.layers:
            find_module(self, layer)
        self._teacher_layers = [loss.teacher_layer for loss in features]
        self._teacher_cfg = teacher
        self.teacher: Teacher | None = None

    def init_weights(self) -> None:
        """Initialise the student. Training begins with this, so a missing teacher is noticed early."""
        super().init_weights()
        self.build_teacher()

    def build_teacher(self) -> None:
        """Build the teacher, on the device of the student."""
        if self._teacher_cfg is None or self.teacher is not None:
            return
        if isinstance(self._teacher_cfg, Teacher):
            self.teacher = self._teacher_cfg
        else:
            options = dict(self._teacher_cfg)
            options['layers'] = [*options.get('layers', ()), *self._teacher_layers]
            self.teacher = Teacher(**options)
        self.teacher.model.to(next(self.parameters()).device)

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Return ``loss`` of the labels, except in stage 1, and ``loss_<name>`` of every loss of the stage.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: With ``gt_score`` or ``gt_label``, and a cached teacher if the model has none.
        """
        teacher = self._teach(inputs, data_samples)
        if self.student_size and inputs.shape[-2:] != (self.student_size, self.student_size):
            inputs = F.interpolate(inputs, (self.student_size, self.student_size), mode='bilinear', antialias=True)
        chosen = self._losses(self.stage)
        layers = [loss.student_layer for loss in chosen.values() if isinstance(loss, FeatureDistillLoss)]
        losses: dict[str, Tensor] = {}
        with tapped(self, layers) as maps:
            if self.stage == 1:
                student = DistillOutputs(None, maps)
                self.extract_feat(inputs, stage='backbone')
            else:
                student = DistillOutputs(self.head(self.extract_feat(inputs)), maps)
                losses = self.head._get_loss(student.logits, data_samples)
        return losses | {f'loss_{name}': loss(student, teacher) for name, loss in chosen.items()}

    def _losses(self, stage: int | None) -> dict[str, Any]:
        """Return the losses of a stage, by name."""
        check_choice('stage', stage, (1, 2, None))
        losses: dict[str, Any] = dict(self.distill.items())
        levels = {1: ['feature'], 2: ['prediction']}.get(stage or 0, ['feature', 'prediction'])
        chosen = {name: loss for name, loss in losses.items() if loss.level in levels}
        if stage == 1 and not chosen:
            raise ValueError('stage=1 needs a feature-level loss in distill, such as mlic_mm.RoIFeatureDistillLoss')
        return chosen

    def _teach(self, inputs: Tensor, data_samples: list[DataSample]) -> DistillOutputs:
        if 'teacher_logits' not in data_samples[0]:
            self.build_teacher()
            if self.teacher is None:
                raise ValueError(
                    'DistillClassifier has no teacher: set model.teacher=dict(config=…, checkpoint=…), or load a '
                    'cached one in the pipeline with mlic_mm.LoadTeacher and mlic_mm.PackProposals'
                )
            return self.teacher(denormalize(inputs, self.data_preprocessor), data_samples)
        if getattr(self.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                'DistillClassifier: the cached teacher has not seen the images that batch augments make: remove '
                'model.train_cfg.augments, or set model.teacher instead of the cache'
            )
        return cached_outputs(inputs, data_samples)

    def _apply(self, fn: Any, recurse: bool = True) -> 'DistillClassifier':
        if self.teacher is not None:
            self.teacher.model._apply(fn, recurse)  # devices and memory formats are those of the student
        return super()._apply(fn, recurse)


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
        {name: torch.stack([each[name] for each in maps]).to(inputs.device) for name in maps[0]},
        pad('teacher_cls_logits', 0),
        pad('teacher_det_logits', -torch.inf),
        [boxes / frame for boxes in gather('proposals') or []],
        gather('proposal_scores') or [],
    )
