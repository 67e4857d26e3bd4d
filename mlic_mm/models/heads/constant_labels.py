"""Label embeddings as constants, for export."""

import copy

import torch
from torch import Tensor, nn

from .deep_lift_head import DeepLIFTHead

__all__ = ['constant_labels']


class ConstantLabels(nn.Module):
    """Constants in place of a label graph.

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
        """Return the embeddings, ``(C, D)``."""
        return self.embeddings


@torch.no_grad()
def constant_labels(model: nn.Module) -> nn.Module:
    """Return a copy of a trained model, in evaluation mode, whose label embeddings are constants.

    The copy gives the same scores. It has no label graph and no projection in any :class:`DeepLIFTHead`, so an exported
    file is smaller and runs faster. Checkpoints of the model do not fit the copy.

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
