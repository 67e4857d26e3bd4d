"""Modules of a model by their names, and the maps that they give."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from mlic_mm.utils.choices import did_you_mean

__all__ = ['LayerMaps', 'find_module']

Output = TypeVar('Output')


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Return a module by its dotted name, the backbone for ``''``.

    Raises:
        ValueError: The model has no such module.

    Example:
        >>> find_module(nn.Sequential(nn.ReLU(), nn.Linear(2, 1)), '1')
        Linear(in_features=2, out_features=1, bias=True)
    """
    name = name or 'backbone'
    try:
        return model.get_submodule(name)
    except AttributeError:
        names = [each for each, _ in model.named_modules() if each]
        meant = did_you_mean(name, names, listed=0) or did_you_mean(name, [n for n in names if '.' not in n], 1)
        raise ValueError(f'{type(model).__name__} has no module {name!r}{meant}') from None


class LayerMaps:
    """Records the maps of some modules while a model runs; of a tuple, the last one.

    The hooks stay on the modules, because ``torch.compile`` does not see hooks that come later. They record nothing
    outside of :meth:`record`. A deep copy of the model and of this object belong together, as the originals do.

    Args:
        model: Has the modules.
        layers: Their dotted names, ``''`` for the backbone.

    Raises:
        ValueError: The model has no such module.

    Example:
        >>> model = nn.Sequential(nn.ReLU(), nn.Flatten())
        >>> output, maps = LayerMaps(model, ['0']).record(model, Tensor([[[-1.0, 1.0]]]))
        >>> output, maps
        (tensor([[0., 1.]]), {'0': tensor([[[0., 1.]]])})
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        self.layers = tuple(dict.fromkeys(layers))
        self._maps: dict[str, Tensor] | None = None
        for name in self.layers:
            find_module(model, name).register_forward_hook(partial(self._keep, name))

    def record(self, forward: Callable[..., Output], *args: Any) -> tuple[Output, dict[str, Tensor]]:
        """Return the result of a call that runs the model, and the maps of each layer that ran."""
        maps: dict[str, Tensor] = {}
        self._maps = maps
        try:
            return forward(*args), maps
        finally:
            self._maps = None

    def _keep(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        if self._maps is not None:
            self._maps[name] = output[-1] if isinstance(output, tuple | list) else output
