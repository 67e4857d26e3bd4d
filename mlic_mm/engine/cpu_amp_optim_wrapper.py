"""Mixed precision without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mlic_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision on a CPU: the forward pass runs under bfloat16 autocast.

    bfloat16 has the exponent range of float32, so no loss scaler is needed. mmengine's ``AmpOptimWrapper`` does the
    same on a GPU and cannot be built without one.

    Examples:
        >>> from torch.optim import SGD
        >>> model = nn.Linear(2, 2)
        >>> optimizer = SGD(model.parameters(), lr=0.1)
        >>> wrapper = OPTIM_WRAPPERS.build(dict(type='mlic_mm.CPUAmpOptimWrapper', optimizer=optimizer))
        >>> with wrapper.optim_context(model):
        ...     model(torch.ones(1, 2)).dtype
        torch.bfloat16
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """See the base class."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
