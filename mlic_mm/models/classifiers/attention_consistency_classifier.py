"""Training with maps that must move as the image moves."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.heads import check_gives_maps, forward_with_maps, map_channels
from mlic_mm.models.layers import channels_first
from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.models.view_transforms import MapPair, ViewTransform, inconsistency
from mlic_mm.registry import MODELS, TASK_UTILS


class _Outputs(NamedTuple):
    """The backbone's last map ``(N, D, h, w)``, the maps of the labels ``(N, C, h, w)`` and the logits ``(N, C)``."""

    feature: Tensor
    attention: Tensor
    label: Tensor


@MODELS.register_module()
class AttentionConsistencyClassifier(ImageClassifier):
    r"""``ImageClassifier`` whose training adds attention consistency under image transforms.

    `Attention consistency
    <https://openaccess.thecvf.com/content_CVPR_2019/html/Guo_Visual_Attention_Consistency_Under_Image_Transforms_for_Multi-Label_Image_Classification_CVPR_2019_paper.html>`_
    (Guo et al. 2019), Eq. 6 and 7: :math:`\ell = \ell_c + \lambda \sum_T \ell_{a,T}`. The model makes the views on the
    device, from the loaded batch after batch augments. Views of one size go through backbone and head in one forward
    pass. The classification loss is the mean over all views and the image itself, so its scale is that of plain
    training.

    In tests, this is the plain classifier: the forward pass and the keys of checkpoints are the same, and
    ``ImageClassifier`` loads its checkpoints.

    Args:
        backbone: As for ``ImageClassifier``.
        views: Configs of transforms, see :mod:`mlic_mm.models.view_transforms`. Flip and scaling have four views if a
            :class:`ComposeView` adds the flipped and scaled image. Without any view, training is plain.
        consistency: Config of :class:`AttentionConsistencyLoss`; None is this loss with its defaults. With ``False``
            there is no such loss, and the views are augmentation: all of them in every step.
        neck: As for ``ImageClassifier``.
        head: A head with maps per label, see :func:`forward_with_maps`.
        test_cfg: With ``dict(inconsistency=True)``, tests look at the views too, and samples get the field
            ``attention_inconsistency`` for :class:`AttentionInconsistency`.
        **kwargs: As for ``ImageClassifier``: ``pretrained, train_cfg, data_preprocessor, init_cfg``.

    Raises:
        ValueError: Two views are equal, or there is no view to be consistent with; the head has no maps; ``test_cfg``
            has an unknown option.

    Examples:
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.AttentionConsistencyClassifier',
        ...         backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...         neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...         head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ...         views=[dict(type='mlic_mm.FlipView'), dict(type='mlic_mm.ScaleView', size=32)],
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, 1.0]))
        >>> sorted(model.loss(torch.rand(2, 3, 64, 64), [sample, sample]))
        ['loss', 'loss_consistency']
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        views: Sequence[dict | ViewTransform],
        consistency: dict | nn.Module | bool | None = None,
        neck: dict | nn.Module | None = None,
        head: dict | nn.Module | None = None,
        test_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, neck=neck, head=head, **kwargs)
        self.views = [view if isinstance(view, ViewTransform) else TASK_UTILS.build(view) for view in views]
        names = [view.name for view in self.views]
        if len(set(names)) < len(names):
            raise ValueError(f'views={names} must differ: give each view once')
        if consistency is None or consistency is True:
            consistency = dict(type='mlic_mm.AttentionConsistencyLoss')
        self.consistency: Any = MODELS.build(consistency) if isinstance(consistency, dict) else consistency or None
        if self.consistency is not None and not names:
            raise ValueError('views=[] must have a view to be consistent with: give one, or set consistency=False')
        test_cfg = dict(test_cfg or {})
        self.measure = test_cfg.pop('inconsistency', False)
        if test_cfg:
            raise ValueError(f"test_cfg has no option {next(iter(test_cfg))!r}: the only option is 'inconsistency'")
        check_gives_maps(self.head, self.neck if self.with_neck else None)
        leave_out_unknown(self)

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Return ``loss``, the head's over all views, and ``loss_consistency``.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: ``N`` samples with ``gt_score`` or ``gt_label``.
        """
        outputs = self._look(inputs)
        logits = torch.cat([view.label for view in outputs])  # (V·N, C)
        losses = self.head._get_loss(logits, list(data_samples) * len(outputs))
        if self.consistency is not None:
            losses['loss_consistency'] = self.consistency(self._pairs(inputs, outputs, self.consistency.level))
        return losses

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs: Any) -> list[DataSample]:
        """Predict as ``ImageClassifier``, and measure the maps with ``test_cfg=dict(inconsistency=True)``."""
        if not self.measure:
            return super().predict(inputs, data_samples, **kwargs)
        outputs = self._look(inputs)
        samples = self.head._get_predictions(outputs[0].label, data_samples)
        size = inputs.size(-2), inputs.size(-1)
        measured = {
            view.name: inconsistency(view, outputs[0].attention, other.attention, size).tolist()  # (N, 3)
            for view, other in zip(self.views, outputs[1:], strict=True)
        }
        for i, sample in enumerate(samples):
            sample.set_field({name: rows[i] for name, rows in measured.items()}, 'attention_inconsistency')
        return samples

    def _look(self, inputs: Tensor) -> list[_Outputs]:
        """Return the outputs for the image and for each of its views, with one forward pass for each size."""
        images = [inputs, *(view.image(inputs) for view in self.views)]
        outputs: dict[int, _Outputs] = {}
        neck = self.neck if self.with_neck else None
        for size in dict.fromkeys(image.shape[-2:] for image in images):
            same = [i for i, image in enumerate(images) if image.shape[-2:] == size]
            feats = self.backbone(torch.cat([images[i] for i in same]))
            logits, maps = forward_with_maps(self.head, neck, feats)
            feature = channels_first(feats[-1], map_channels(self.head))
            parts = [output.unflatten(0, (len(same), -1)) for output in (feature, maps, logits)]
            outputs |= {i: _Outputs(*(part[k] for part in parts)) for k, i in enumerate(same)}
        return [outputs[i] for i in range(len(images))]

    def _pairs(self, inputs: Tensor, outputs: list[_Outputs], level: str) -> list[MapPair]:
        """Pair the image's outputs at a level with those of each view."""
        first, *others = (getattr(view, level) for view in outputs)
        if level == 'label':
            return [MapPair(first[:, :, None, None], other[:, :, None, None]) for other in others]
        size = inputs.size(-2), inputs.size(-1)
        return [view.pair(first, other, size) for view, other in zip(self.views, others, strict=True)]
