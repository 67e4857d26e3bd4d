"""One classifier, whose training takes any number of objectives."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from mmengine.logging import print_log
from mmengine.model import Sequential
from mmpretrain.models import ImageClassifier
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.models.losses import leave_out_unknown
from mlic_mm.models.objectives import Distillation, Objective
from mlic_mm.models.objectives.named_parts import build_objective, check_dropped, module_dict, named_parts
from mlic_mm.models.objectives.region_proposals import describe
from mlic_mm.models.utils.layer_maps import LayerMaps
from mlic_mm.models.view_transforms import ViewTransform
from mlic_mm.registry import MODELS

from .look import Wanted, add_losses, different_views, look

Feats = tuple[Tensor, ...]


@MODELS.register_module()
class MultiLabelClassifier(ImageClassifier):
    """``ImageClassifier`` whose training takes any number of objectives, each a part of its config.

    An objective adds losses to the loss of the labels: :class:`~mlic_mm.models.AttentionConsistency`,
    :class:`~mlic_mm.models.Distillation`, :class:`~mlic_mm.models.RegionProposals`, or one of your own. They share the
    work. There is one forward pass for each size of image. A layer that several losses compare is recorded once.

    In tests, this is the plain classifier: the forward pass and the keys of checkpoints are the same, and
    ``ImageClassifier`` loads its checkpoints. They have besides them ``objectives.<name>.…`` of what objectives learn,
    and never a teacher. Two things run in tests too: a region proposal network if the head looks at proposals, and
    views that an objective measures.

    Args:
        backbone: As for ``ImageClassifier``.
        neck: As for ``ImageClassifier``, or a list of necks that run in this order.
        head: Any multi-label head.
        objectives: Configs of objectives by name. The names are those of the losses in logs. A config that inherits
            changes an objective by its name, and drops it with None.
        **kwargs: As for ``ImageClassifier``: ``pretrained, train_cfg, data_preprocessor, init_cfg``.

    Raises:
        ValueError: An objective has no meaning with the other parts of the model. ``docs/combining.md`` has the list.
        TypeError: ``objectives`` is no dictionary by name, or an objective is no :class:`~mlic_mm.models.Objective`.

    Examples:
        >>> import torch
        >>> model = MODELS.build(
        ...     dict(
        ...         type='mlic_mm.MultiLabelClassifier',
        ...         backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...         neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...         head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ...         objectives=dict(
        ...             consistency=dict(type='mlic_mm.AttentionConsistency', views=[dict(type='mlic_mm.FlipView')])
        ...         ),
        ...     )
        ... )
        >>> sample = DataSample().set_gt_score(torch.tensor([1.0, 0.0, 1.0]))
        >>> sorted(model.loss(torch.rand(2, 3, 64, 64), [sample, sample]))
        ['loss', 'loss_consistency']
        >>> model.eval()(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        neck: dict | nn.Module | Sequence[dict | nn.Module] | None = None,
        head: dict | nn.Module | None = None,
        objectives: Mapping[str, dict | Objective | None] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(neck, list | tuple):  # of a list, mmengine takes configs only
            neck = Sequential(*(MODELS.build(each) if isinstance(each, dict) else each for each in neck))
        super().__init__(backbone, neck=neck, head=head, **kwargs)
        leave_out_unknown(self)
        given = {} if objectives is None else objectives
        built = {name: build_objective(name, each) for name, each in named_parts('objectives', given).items()}
        self.objectives = module_dict('objectives', built)
        self._dropped = [name for name in given if name not in self.objectives]
        check_dropped(self._dropped, self.objectives)
        self.proposer_name = next((name for name, each in self.objectives.items() if each.proposes), '')
        # The loss of a head of patches is not a function of the logits of images, so the head must compute it.
        own = self.with_head and type(self.head).loss is not MultiLabelClsHead.loss
        self.own_loss = own and not getattr(self.head, 'loss_of_logits', False)
        self.takes_samples = self.with_head and 'data_samples' in signature(self.head.forward).parameters
        self._check()
        self.layer_maps = LayerMaps(self, [layer for each in self._objectives for layer in each.layers])

    @property
    def _objectives(self) -> list[Any]:
        return list(self.objectives.values())

    @property
    def views(self) -> list[ViewTransform]:
        """The different views of all objectives."""
        return different_views(self._objectives)

    def _check(self) -> None:
        """Refuse what has no meaning."""
        if self._objectives and not self.with_head:
            raise ValueError('head=None must be a head where objectives are used')
        sizes = {name: each.student_size for name, each in self.objectives.items() if each.student_size}
        if len(set(sizes.values())) > 1:
            raise ValueError(f'student_size of objectives must be one size, because the model sees one image: {sizes}')
        cached = {each.cached for each in self._objectives if isinstance(each, Distillation)}
        if len(cached) > 1:
            raise ValueError(
                'teacher=None must not stand beside another teacher in objectives, because samples with a cached '
                'teacher teach all of them: set teacher of each Distillation, or of none'
            )
        proposers = [name for name, each in self.objectives.items() if each.proposes]
        if len(proposers) > 1:
            raise ValueError(f'objectives {" and ".join(proposers)} both propose regions: use one')
        if self.takes_samples and getattr(self.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                f'batch augments mix images, but cannot mix the proposals that {type(self.head).__name__} looks at: '
                'remove model.train_cfg.augments'
            )
        for objective in self._objectives:
            objective.check(self)

    @property
    def proposes(self) -> bool:
        """Whether the head looks at proposals of the model itself."""
        return self.takes_samples and self.proposer is not None

    @property
    def training_only(self) -> tuple[str, ...]:
        """What names of weights begin with that tests do not need."""
        needed = self.proposer_name if self.takes_samples else ''
        return tuple(f'objectives.{name}.' for name in self.objectives if name != needed)

    @property
    def proposer(self) -> Any:
        """The objective that proposes regions, None if there is none."""
        return self.objectives[self.proposer_name] if self.proposer_name else None

    def init_weights(self) -> None:
        """Initialise the model. Training begins with this, so a missing teacher is noticed early."""
        super().init_weights()
        if self.objectives or self._dropped:
            dropped = f' (dropped: {", ".join(self._dropped)})' if self._dropped else ''
            print_log(f'objectives: {", ".join(self.objectives) or "none"}{dropped}', logger='current')
        self._start()

    def _start(self) -> None:
        for name, objective in self.objectives.items():
            try:
                objective.start(next(self.parameters()).device)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f'objectives[{name!r}]: {error}; model.objectives.{name}=None drops it'
                ) from error

    def forward(self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor') -> Any:
        """Run as ``ImageClassifier``; ``mode='tensor'`` gives the logits ``(N, C)``."""
        if mode == 'tensor' and self.takes_samples:
            feats = self.extract_feat(inputs)
            return self.head(feats, self.propose(feats, inputs, data_samples))
        return super().forward(inputs, data_samples, mode)

    def propose(
        self, feats: Feats, inputs: Tensor, data_samples: list[DataSample] | None = None
    ) -> list[DataSample] | None:
        """Return the samples for the head: with the proposals of the model, if an objective proposes some.

        Args:
            feats: Maps of the neck.
            inputs: ``(N, 3, H, W)``; the samples get their size.
            data_samples: Samples of mmpretrain, or of mmdet's ``PackDetInputs``. By default, new ones.
        """
        if self.proposer is None or not self.takes_samples:
            return data_samples
        return self.proposer.propose(feats, describe(inputs, data_samples))[0]

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Return ``loss`` of the labels, and ``loss_<objective>…`` of every objective.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: ``N`` samples with ``gt_score`` or ``gt_label``, and what the objectives need.

        Raises:
            ValueError: Two losses have one name; there is no head.
            TypeError: An objective returns no dictionary.
        """
        if not self.with_head:
            raise ValueError('head=None must be a head in training')
        if not self.objectives:
            return super().loss(inputs, data_samples)
        self._start()
        alone = {name: each for name, each in self.objectives.items() if each.alone}
        active = alone or dict(self.objectives.items())
        wanted = Wanted(
            losses=not alone,
            logits=any(each.needs_logits for each in active.values()),
            maps=any(each.needs_maps for each in active.values()),
        )
        side = next((each.student_size for each in self._objectives if each.student_size), None)
        step, losses = look(self, inputs, data_samples, list(active.values()), wanted, side)
        for objective, each in active.items():
            found = each.compute_losses(step)
            if not isinstance(found, dict):
                raise TypeError(
                    f'objectives[{objective!r}]: compute_losses of {type(each).__name__} must return a dictionary of '
                    f'losses by name, not {type(found).__name__}'
                )
            add_losses(losses, objective, found)
        return losses

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs: Any) -> list[DataSample]:
        """Predict as ``ImageClassifier``; samples also get what objectives measure."""
        measuring = [each for each in self._objectives if each.measures]
        if not measuring:
            feats = self.extract_feat(inputs)
            return self.head.predict(feats, self.propose(feats, inputs, data_samples), **kwargs)
        given = data_samples if data_samples is not None else [DataSample() for _ in inputs]
        wanted = Wanted(losses=False, logits=True, maps=any(each.measures_maps for each in measuring))
        step, _ = look(self, inputs, given, measuring, wanted)
        samples = self.head._get_predictions(step.image.logits, given)
        for objective in measuring:
            for field, values in objective.measure(step).items():
                for sample, value in zip(samples, values, strict=True):
                    sample.set_field(value, field)
        return samples
