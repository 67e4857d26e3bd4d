"""Several trained classifiers, and several views of an image, as one classifier."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmpretrain.models import BaseClassifier
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mlic_mm.config_files.config_file import read_config
from mlic_mm.models.losses import DistillOutputs
from mlic_mm.models.teachers.teaching import regions_of_samples
from mlic_mm.models.teachers.trained_classifier import Labels, build_classifier, common_labels
from mlic_mm.registry import MODELS
from mlic_mm.utils.choices import check_choice, check_range, did_you_mean

KEYS = ('config', 'model', 'checkpoint', 'sizes', 'flip', 'weight')
SMALL_BATCH = 4  # up to this size, images and their mirror images share a forward pass
Size = tuple[int, int] | None  # (H, W); None is the size that the pipeline loads


class Views(NamedTuple):
    """Views of one member: every size, and with ``flip`` its mirror image."""

    sizes: tuple[Size, ...]
    flip: bool


@MODELS.register_module()
class EnsembleClassifier(BaseClassifier):
    r"""Mean of the members' probabilities, as one model for tests, the inferencer and export.

    `Mixup baseline <https://arxiv.org/abs/1811.08412>`_ (Wang, Jia & Breckon 2018), Eq. 3:
    :math:`S = \frac{1}{K} \sum_k S_k`; with weights, :math:`\sum_k w_k S_k / \sum_k w_k`. The score of a member is the
    mean over its views. Scores are probabilities, because the logits of different kinds of members have different
    spreads, and their mean would follow the member with the largest spread.

    The pipeline loads each image once, in the largest of all sizes (enlarging adds no detail), without normalisation,
    as ``PackInputs`` gives it. The model makes the views on the device: antialiased bilinear interpolation to ``sizes``
    (if the size differs), mirror images, then the member's own normalisation.

    A call with a tensor returns logits ``(N, C)`` whose sigmoid is the mean probability, for export and for code that
    applies a sigmoid. ``mode='predict'`` sets ``pred_score`` to this sigmoid, and ``pred_label`` by the threshold of
    the first member's head.

    State dicts have the keys ``members.0.…``. A checkpoint of the whole ensemble fits an ensemble whose members are
    given without checkpoints.

    Args:
        members: Dictionaries with

            - ``config``: file of the config that trained the member, or ``model``: its model config, or a built model.
            - ``checkpoint``: weights of the member; not needed if a checkpoint of the whole ensemble is loaded later.
            - ``sizes``: side of a square in pixels, or a list of sides and of ``(H, W)``; by default the size that is
              loaded.
            - ``flip``: also look at mirror images; False by default.
            - ``weight``: weight of the member's score; 1 by default.
        data_preprocessor: Data preprocessor of members without their own. (Runners pass a config's
            ``data_preprocessor`` here.)
        init_cfg: Not used: members bring their weights.

    Raises:
        ValueError: There is no member; options are unknown or contradict each other; a member does not score labels by
            a sigmoid; the labels of members differ in number, name or order; a checkpoint does not fit.
        TypeError: An option of a member has the wrong type.
        FileNotFoundError: A config or checkpoint is missing.

    Examples:
        >>> from mmpretrain.models import ImageClassifier
        >>> small = ImageClassifier(
        ...     backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8),
        ...     neck=dict(type='mmpretrain.GlobalAveragePooling'),
        ...     head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=64),
        ...     data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3, to_rgb=True),
        ... )
        >>> model = MODELS.build(
        ...     dict(type='mlic_mm.EnsembleClassifier', members=[dict(model=small, sizes=[64, 96], flip=True)])
        ... )
        >>> model(torch.zeros(1, 3, 96, 96, dtype=torch.uint8)).shape  # the mean of four views
        torch.Size([1, 3])
    """

    def __init__(
        self, members: Sequence[Mapping[str, Any]], data_preprocessor: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        # Stacks images and leaves their pixels alone.
        super().__init__(data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'))
        if not members:
            raise ValueError('members=[] must have a member: give at least one dict(config=…, checkpoint=…)')
        self.members = nn.ModuleList()
        self.views: list[Views] = []
        self._untrained: list[str] = []
        weights: list[float] = []
        labels: Labels = {}
        for i, member in enumerate(members):
            name = f'members[{i}]'
            model, its_labels = self._build(name, member, data_preprocessor)
            weight, flip = member.get('weight', 1.0), member.get('flip', False)
            check_range(f'{name}.weight', weight, above=0)
            check_choice(f'{name}.flip', flip, (True, False))
            views = Views(_parse_sizes(f'{name}.sizes', member.get('sizes')), flip)
            self.members.append(model)
            self.views.append(views)
            number = len(views.sizes) * (2 if flip else 1)
            weights += [weight / number] * number
            labels |= {f'{source} (members[{i}])': classes for source, classes in its_labels.items()}

        self.classes = common_labels(labels)
        self._dataset_meta = {'classes': self.classes} if self.classes else {}  # where mmpretrain's inferencer looks
        self.num_classes = self._number_of_classes()
        rule: Any = self.members[0].head
        self.head = MultiLabelClsHead(thr=rule.thr, topk=rule.topk)
        self.head.num_classes = self.num_classes
        total = sum(weights)
        self.register_buffer('log_weights', torch.tensor([w / total for w in weights]).log(), persistent=False)
        self.eval()

    def _build(self, name: str, member: Mapping[str, Any], default: dict | None) -> tuple[BaseModel, Labels]:
        if not isinstance(member, Mapping):
            raise TypeError(f'{name}={member!r} must be dict(config=…, checkpoint=…)')
        if unknown := [key for key in member if key not in KEYS]:
            raise ValueError(f'{name} has no option {unknown[0]!r}{did_you_mean(unknown[0], KEYS)}')
        if ('config' in member) == ('model' in member):
            raise ValueError(f'{name} needs either config, a file, or model, a model config')
        model, checkpoint = member.get('model'), member.get('checkpoint')
        if isinstance(model, nn.Module):
            if checkpoint is not None:
                raise ValueError(f'{name}.checkpoint={checkpoint!r} must be left out: a built model has its weights')
            labels: Labels = {}
        else:
            cfg = read_config(member['config']) if 'config' in member else dict(model=model)
            model, labels = build_classifier(cfg, checkpoint, default)
            if checkpoint is None:
                self._untrained.append(name)
        head = getattr(model, 'head', None)
        # A head that predicts in its own way may mean something else by its outputs.
        if (
            not isinstance(head, MultiLabelClsHead)
            or type(head)._get_predictions is not MultiLabelClsHead._get_predictions
        ):
            raise ValueError(
                f'{name} is a {type(model).__name__} with head {type(head).__name__}, whose scores are not sigmoids of '
                'its logits: use a multi-label head (a subclass of mmpretrain.MultiLabelClsHead)'
            )
        return model, labels

    def _number_of_classes(self) -> int | None:
        """Return the number of labels that the heads state. Their first scores check heads that state none."""
        stated = [getattr(member.head, 'num_classes', None) for member in self.members]
        known = [(i, number) for i, number in enumerate(stated) if number is not None]
        for i, number in known:
            if number != known[0][1]:
                raise ValueError(
                    f'members[{i}] scores {number} labels, but members[{known[0][0]}] {known[0][1]}: use members that '
                    'were trained for the same labels'
                )
        number = known[0][1] if known else len(self.classes) if self.classes else None
        if number is not None and self.classes and len(self.classes) != number:
            raise ValueError(f'the members score {number} labels and name {len(self.classes)}: use one label list')
        return number

    def forward(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | list[DataSample]:
        """Score raw images, as loaded and of one size.

        Args:
            inputs: ``(N, 3, H, W)``, 0 to 255, uint8 or float, BGR as OpenMMLab's loaders give it.
            data_samples: Samples that get the predictions.
            mode: ``'tensor'`` or ``'predict'``.

        Returns:
            Logits ``(N, C)``, or the samples with ``pred_score`` ``(C,)`` and ``pred_label``.

        Raises:
            ValueError: ``mode='loss'``; members have no weights.
        """
        if mode == 'tensor':
            return self._fuse(inputs)
        if mode == 'predict':
            return self.head.predict((self._fuse(inputs),), data_samples)
        if mode == 'loss':
            raise ValueError('EnsembleClassifier is not trained as a whole: train each member with its own config')
        raise ValueError(f"mode={mode!r} must be 'tensor' or 'predict'")

    def teach(self, raw: Tensor, samples: list[DataSample]) -> DistillOutputs:
        """Return image logits and the proposals of the samples, see :class:`Teaching`."""
        boxes, scores = regions_of_samples(raw, samples)
        return DistillOutputs(self(raw), boxes=boxes, box_scores=scores)

    def _fuse(self, inputs: Tensor) -> Tensor:
        if self._untrained:
            raise ValueError(
                f'{", ".join(self._untrained)}: no checkpoint given, and none of the whole ensemble loaded, so its '
                'scores would be random'
            )
        inputs = inputs.float()
        images: dict[Size, Tensor] = {None: inputs, (inputs.shape[-2], inputs.shape[-1]): inputs}
        logits: list[Tensor] = []
        for member, views in zip(self.members, self.views, strict=True):
            for size in views.sizes:
                if size not in images:
                    images[size] = F.interpolate(inputs, size=size, mode='bilinear', antialias=True)
                logits += self._score(member, images[size], views.flip)
        widths = sorted({int(view.size(1)) for view in logits})  # a trace has sizes as tensors
        if len(widths) > 1:
            raise ValueError(
                f'members of EnsembleClassifier score {widths[0]} and {widths[-1]} labels: use one label list'
            )
        scores = torch.stack(logits).float()  # (V, N, C)
        # The logit of the mean probability, from logarithms: exact where probabilities round to 0 or 1.
        weights = self.log_weights[:, None, None]
        return torch.logsumexp(F.logsigmoid(scores) + weights, 0) - torch.logsumexp(F.logsigmoid(-scores) + weights, 0)

    @staticmethod
    def _score(member: BaseModel, image: Tensor, flip: bool) -> list[Tensor]:
        """Return the logits of the image and, with ``flip``, of its mirror image; ``(N, C)`` each."""

        def logits(view: Tensor) -> Tensor:
            return member(member.data_preprocessor(dict(inputs=view), False)['inputs'])

        if not flip:
            return [logits(image)]
        mirrored = image.flip(-1)
        # Small batches leave a device idle; doubled large ones only take memory and miss caches (bench_ensemble.py).
        if torch.compiler.is_compiling() or len(image) <= SMALL_BATCH:  # halves the size of a graph
            return list(logits(torch.cat([image, mirrored])).unflatten(0, (2, -1)))
        return [logits(image), logits(mirrored)]

    def train(self, mode: bool = True) -> 'EnsembleClassifier':
        """Stay in eval mode: an ensemble is never trained, and batch statistics would change its scores."""
        return super().train(False)

    def init_weights(self) -> None:
        """Do nothing: the initialisation of members would undo their weights."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # mmengine only warns of missing weights; a member's own checkpoint given here would leave all members random.
        for i in range(len(self.members)):
            if not any(key.startswith(f'{prefix}members.{i}.') for key in state_dict):
                raise ValueError(
                    f'the checkpoint has no weights members.{i}.…: it is no checkpoint of this ensemble of '
                    f"{len(self.members)}. Put a single model's checkpoint into members=[dict(checkpoint=…)]"
                )
        self._untrained.clear()
        super()._load_from_state_dict(state_dict, prefix, *args)


def _parse_sizes(name: str, sizes: Any) -> tuple[Size, ...]:
    given = list(sizes) if isinstance(sizes, list | tuple) else [sizes]
    parsed: list[Size] = []
    for size in given:
        sides = list(size) if isinstance(size, list | tuple) else [size, size]
        if size is None:
            parsed.append(None)
        elif len(sides) == 2 and all(type(side) is int and side > 0 for side in sides):
            parsed.append((sides[0], sides[1]))
        else:
            raise ValueError(f'{name}={size!r} must be the side of a square in pixels, or a list of sides or of (H, W)')
    if not parsed:
        raise ValueError(f'{name}=[] must have a size: leave it out for the size that is loaded')
    return tuple(parsed)
