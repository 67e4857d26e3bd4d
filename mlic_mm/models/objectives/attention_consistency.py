"""Maps that must move as the image moves."""

from collections.abc import Sequence
from typing import Any, Literal

from mmpretrain.models import ImageClassifier
from torch import Tensor, nn

from mlic_mm.models.heads import check_gives_maps
from mlic_mm.models.losses import AttentionConsistencyLoss
from mlic_mm.models.view_transforms import MapPair, ViewTransform, build_views, inconsistency
from mlic_mm.registry import MODELS

from .objective import Objective, Step, ViewOutputs


@MODELS.register_module()
class AttentionConsistency(Objective):
    r"""Attention consistency under image transforms.

    `Attention consistency
    <https://openaccess.thecvf.com/content_CVPR_2019/html/Guo_Visual_Attention_Consistency_Under_Image_Transforms_for_Multi-Label_Image_Classification_CVPR_2019_paper.html>`_
    (Guo et al. 2019), Eq. 6 and 7: :math:`\ell = \ell_c + \lambda \sum_T \ell_{a,T}`. The model makes the views on the
    device, from the loaded batch after batch augments. Views of one size go through backbone and head in one forward
    pass. The loss of the labels is the mean over all views and the image itself, so its scale is that of plain
    training.

    Args:
        views: Configs of transforms, see :mod:`mlic_mm.models.view_transforms`. Flip and scaling have four views if a
            :class:`ComposeView` adds the flipped and scaled image.
        loss: Config of :class:`AttentionConsistencyLoss`; by default this loss with its defaults. With ``False`` there
            is no such loss, and the views are augmentation: all of them in every step.
        measure: In tests, look at the views too. Samples get the field ``attention_inconsistency`` for
            :class:`~mlic_mm.evaluation.metrics.AttentionInconsistency`.

    Raises:
        ValueError: There is no view, or two views are equal. The head has no maps, which the level ``'attention'`` and
            ``measure`` need.
        TypeError: ``views`` is no list of views, or ``loss`` is no :class:`AttentionConsistencyLoss`.

    Examples:
        >>> import torch
        >>> from mmpretrain.structures import DataSample
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.MultiLabelClassifier',
        ...         backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...         neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...         head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ...         objectives=dict(
        ...             consistency=dict(
        ...                 type='mlic_mm.AttentionConsistency',
        ...                 views=[dict(type='mlic_mm.FlipView'), dict(type='mlic_mm.ScaleView', size=32)],
        ...             ),
        ...         ),
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, 1.0]))
        >>> sorted(model.loss(torch.rand(2, 3, 64, 64), [sample, sample]))
        ['loss', 'loss_consistency']
    """

    def __init__(
        self,
        views: Sequence[dict | ViewTransform],
        loss: dict | nn.Module | Literal[False] | None = None,
        measure: bool = False,
    ) -> None:
        super().__init__()
        self.views = build_views(views)
        names = [view.name for view in self.views]
        if not names:
            raise ValueError('views=[] must have a view: give one, or drop the objective with None')
        if len(set(names)) < len(names):
            raise ValueError(f'views={names} must differ: give each view once')
        if loss is None or loss is True:
            loss = dict(type='mlic_mm.AttentionConsistencyLoss')
        self.loss: Any = MODELS.build(loss) if isinstance(loss, dict) else loss or None
        if self.loss is not None and not isinstance(self.loss, AttentionConsistencyLoss):
            raise TypeError(f'loss={type(self.loss).__name__} must be an AttentionConsistencyLoss')
        self.measures = measure
        level = self.loss.level if self.loss is not None else None
        self.needs_maps = level == 'attention'
        self.needs_logits = level == 'label'

    @property
    def measures_maps(self) -> bool:  # type: ignore[override]
        """See :class:`Objective`."""
        return self.measures

    def check(self, model: ImageClassifier) -> None:
        """See :class:`Objective`."""
        if self.needs_maps or self.measures:
            reason = "level='attention' of the loss compares maps of the labels (level='feature' and 'label' do not)"
            if self.measures:
                reason = 'measure=True compares maps of the labels'
            check_gives_maps(model.head, model.neck if model.with_neck else None, reason)

    def compute_losses(self, step: Step) -> dict[str, Tensor]:
        """See :class:`Objective`."""
        if self.loss is None:
            return {}
        return {'': self.loss([self._pair(view, step) for view in self.views])}

    def _pair(self, view: ViewTransform, step: Step) -> MapPair:
        """Pair the outputs for the images with those for a view, at the level of the loss."""
        first, other = (self._level(outputs) for outputs in (step.image, step.views[view.name]))
        if self.loss.level == 'label':
            return MapPair(first[:, :, None, None], other[:, :, None, None])
        return view.pair(first, other, step.size)

    def _level(self, outputs: ViewOutputs) -> Tensor:
        level = dict(feature=outputs.feature, attention=outputs.maps, label=outputs.logits)[self.loss.level]
        assert level is not None
        return level

    def measure(self, step: Step) -> dict[str, list[Any]]:
        """Return the distance, the pattern and the spread of each view, see :func:`inconsistency`."""
        assert step.image.maps is not None
        rows = {}
        for view in self.views:
            maps = step.views[view.name].maps
            assert maps is not None
            rows[view.name] = inconsistency(view, step.image.maps, maps, step.size).tolist()  # (N, 3)
        count = len(step.samples)
        return {'attention_inconsistency': [{name: row[i] for name, row in rows.items()} for i in range(count)]}
