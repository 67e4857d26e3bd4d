"""Modules of a model by their names, and the maps that they give."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from mlic_mm.utils.choices import did_you_mean

__all__ = ['find_module', 'tapped']


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


@contextmanager
def tapped(model: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the maps of some modules while the model runs; of a tuple the last one.

    Args:
        model: Has the modules.
        layers: Their dotted names, ``''`` for the backbone.

    Raises:
        ValueError: The model has no such module.
    """
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            maps[name] = output[-1] if isinstance(output, tuple | list) else output

        return hook

    handles = [find_module(model, name).register_forward_hook(keep(name)) for name in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
