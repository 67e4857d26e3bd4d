"""A student that learns from labels and from a teacher."""

from collections.abc import Mapping
from typing import Any

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

from .teacher import Teacher


@MODELS.register_module()
class DistillClassifier(ImageClassifier):
    r"""``ImageClassifier`` whose training adds losses to a teacher's outputs (KD from WSD, section 3.2).

    Stage 1 minimises the feature-level losses alone (:math:`\sum_\ell L_f^\ell`), stage 2 the loss of the labels and
    the prediction-level losses (:math:`L_p + \lambda L_{p'}`, Eq. 11); without a stage all of them. They hand over by
    ``load_from``, or within one training by :class:`~mlic_mm.engine.hooks.DistillStageHook`.

    Samples that carry a cached teacher (:class:`~mlic_mm.datasets.transforms.LoadTeacher`) need none; of others the
    teacher looks at the same images, in the size in which they are loaded.

    At test it is the plain classifier: same forward, same keys in checkpoints besides ``distill.``, what the losses
    learn. The teacher is never in them; it is built when training begins, and not for tests.

    Args:
        backbone: As for ``ImageClassifier``.
        distill: Losses by name, configs of :class:`DistillLoss`; their values are logged as ``loss_<name>``.
        teacher: Options of :class:`Teacher`: ``dict(config=…, checkpoint=…)``; None where samples carry it.
        stage: 1, 2 or None.
        student_size: Pixels of the square that the student sees in training, antialiased, where images are loaded
            larger for the teacher; by default the size in which they are loaded. Tests take images as they are.
        neck: As for ``ImageClassifier``.
        head: Any multi-label head.
        **kwargs: As for ``ImageClassifier``: ``pretrained, train_cfg, data_preprocessor, init_cfg``.

    Raises:
        ValueError: No losses, an unknown stage or one without losses, an unknown layer; in training, neither a teacher
            nor samples that carry one, or batch augments beside samples that carry one.
        TypeError: A loss that is no :class:`DistillLoss`.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        distill: Mapping[str, dict | nn.Module],
        teacher: Mapping[str, Any] | Teacher | None = None,
        stage: int | None = None,
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
                raise TypeError(f'distill[{name!r}] is a {type(built).__name__}, expected a subclass of DistillLoss')
            self.distill[name] = built
        if not self.distill:
            raise ValueError('DistillClassifier: no losses in `distill`; without any it is an ImageClassifier')
        if student_size is not None and student_size < 1:
            raise ValueError(f'DistillClassifier: student_size={student_size} must be at least 1')
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
        """Initialise the student; training begins with this, so that a teacher that is not there is noticed now."""
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
        """Return ``loss`` of the labels, but in stage 1, and ``loss_<name>`` of every loss of the stage.

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
        """Losses of a stage, by name."""
        if stage not in (None, 1, 2):
            raise ValueError(f'DistillClassifier: stage={stage!r} must be 1, 2 or None')
        losses: dict[str, Any] = dict(self.distill.items())
        levels = {1: ['feature'], 2: ['prediction']}.get(stage or 0, ['feature', 'prediction'])
        chosen = {name: loss for name, loss in losses.items() if loss.level in levels}
        if stage == 1 and not chosen:
            raise ValueError('DistillClassifier: stage 1 has no feature-level loss in `distill`')
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
                'DistillClassifier: the cached teacher has not seen the images that batch augments make; leave '
                'model.train_cfg.augments out, or give model.teacher in place of the cache'
            )
        return cached_outputs(inputs, data_samples)

    def _apply(self, fn: Any, recurse: bool = True) -> 'DistillClassifier':
        if self.teacher is not None:
            self.teacher.model._apply(fn, recurse)  # devices and memory formats are those of the student
        return super()._apply(fn, recurse)


def cached_outputs(inputs: Tensor, data_samples: list[DataSample]) -> DistillOutputs:
    """Put together what :class:`~mlic_mm.datasets.transforms.LoadTeacher` has put into samples.

    mmpretrain's data preprocessor moves only labels to the device of the images. Images may have different numbers of
    regions: missing ones get the logits 0 and −inf.
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
