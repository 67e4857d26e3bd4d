"""Label embeddings as numbers, for export."""

import copy

import torch
from torch import Tensor, nn

from .deep_lift_head import DeepLIFTHead

__all__ = ['constant_labels']


class ConstantLabels(nn.Module):
    """Stands where a label graph stands.

    Args:
        embeddings: ``(C, D)``.
        classes: Label names, if they are known.
    """

    embeddings: Tensor

    def __init__(self, embeddings: Tensor, classes: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer('embeddings', embeddings)
        self.classes = classes
        self.out_channels = embeddings.size(1)

    def forward(self) -> Tensor:
        """The embeddings."""
        return self.embeddings


@torch.no_grad()
def constant_labels(model: nn.Module) -> nn.Module:
    """Return a copy of a trained model, in evaluation mode, whose label embeddings are constants.

    What it scores stays the same. The label graph and the projection of every :class:`DeepLIFTHead` are gone, so that
    an exported file is smaller and runs faster. Checkpoints of the model do not fit the copy.

    Args:
        model: Any model; members of an ensemble are changed as well.
    """
    model = copy.deepcopy(model).eval()
    for head in model.modules():
        if isinstance(head, DeepLIFTHead):
            classes = getattr(head.label_graph, 'classes', None)
            head.label_graph = ConstantLabels(head.label_embeddings(), classes)
            head.projection = nn.Identity()
    return model
