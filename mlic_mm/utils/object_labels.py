"""Labels of an image from those of its objects."""

import torch
from torch import Tensor

__all__ = ['labels_of_objects']


def labels_of_objects(present: Tensor, ignored: Tensor, num_classes: int, name: str) -> Tensor:
    """Return the labels of an image, float32 ``(C,)``: 1 present, 0 absent, −1 if all objects of a label are ignored.

    Args:
        present: Labels of the objects, int64 ``(G,)``.
        ignored: Labels of the objects to ignore, int64 ``(I,)``.
        num_classes: C.
        name: What the message calls the image.

    Raises:
        ValueError: A label is outside 0 … C − 1.

    Example:
        >>> labels_of_objects(torch.tensor([2, 2]), torch.tensor([1, 2]), 4, 'the image')
        tensor([ 0., -1.,  1.,  0.])
    """
    both = torch.cat([present, ignored])
    if len(both) and not 0 <= int(both.min()) <= int(both.max()) < num_classes:
        raise ValueError(
            f'{name} has labels {sorted(set(both.tolist()))}, but num_classes={num_classes}; set it to the number of '
            'classes of the data set'
        )
    score = torch.zeros(num_classes, device=present.device)
    score[ignored] = -1
    score[present] = 1
    return score
