"""Training that asks for maps which move as the image is moved."""

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
    """Of one view: the backbone's last map ``(N, D, h, w)``, maps of the labels ``(N, C, h, w)``, logits ``(N, C)``."""

    feature: Tensor
    attention: Tensor
    label: Tensor


@MODELS.register_module()
class AttentionConsistencyClassifier(ImageClassifier):
    r"""``ImageClassifier`` whose training adds attention consistency under image transforms (Guo et al. 2019).

    :math:`\ell = \ell_c + \lambda \sum_T \ell_{a,T}` (Eq. 6, 7). Views are made on the device from the batch that was
    loaded, after batch augments; those of one size go through backbone and head in one forward. The classification
    loss is the mean over all views, the image itself included, so that its scale is that of plain training.

    At test it is the plain classifier: same forward, same keys in checkpoints, which ``ImageClassifier`` loads as well.

    Args:
        backbone: As for ``ImageClassifier``.
        views: Transforms: configs of :mod:`mlic_mm.models.view_transforms`. With :class:`ComposeView` for the flipped
            and scaled image, flip and scaling have four views. Without any, training is plain too.
        consistency: Config of :class:`AttentionConsistencyLoss`; None is that loss with its defaults. ``False`` leaves
            it out: the views are augmentation then, all of them in every step.
        neck: As for ``ImageClassifier``.
        head: A head with maps per label, see :func:`forward_with_maps`.
        test_cfg: ``dict(inconsistency=True)`` looks at the views in tests too and adds the field
            ``attention_inconsistency`` to the samples, for :class:`AttentionInconsistency`.
        **kwargs: As for ``ImageClassifier``: ``pretrained, train_cfg, data_preprocessor, init_cfg``.

    Raises:
        ValueError: Two views alike, or none to be consistent with; a head without maps; an unknown option of
            ``test_cfg``.
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
            raise ValueError(f'AttentionConsistencyClassifier: views are {", ".join(names)}; give each once')
        if consistency is None or consistency is True:
            consistency = dict(type='mlic_mm.AttentionConsistencyLoss')
        self.consistency: Any = MODELS.build(consistency) if isinstance(consistency, dict) else consistency or None
        if self.consistency is not None and not names:
            raise ValueError(
                'AttentionConsistencyClassifier: no views to be consistent with; give some, or consistency=False'
            )
        test_cfg = dict(test_cfg or {})
        self.measure = test_cfg.pop('inconsistency', False)
        if test_cfg:
            raise ValueError(f"test_cfg has {next(iter(test_cfg))!r}; the option is 'inconsistency'")
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
        """Predict as ``ImageClassifier``; with ``test_cfg=dict(inconsistency=True)`` measure the maps as well."""
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
        """Return the outputs for the image and for each of its views, one forward for each size."""
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
        """Pair what the image gives at a level with what each view gives."""
        first, *others = (getattr(view, level) for view in outputs)
        if level == 'label':
            return [MapPair(first[:, :, None, None], other[:, :, None, None]) for other in others]
        size = inputs.size(-2), inputs.size(-1)
        return [view.pair(first, other, size) for view, other in zip(self.views, others, strict=True)]
