"""``type`` of a part of a config is a name, with or without a scope, or in pure-Python configs the class itself."""

from typing import Any

from mmengine.registry import Registry

__all__ = ['type_class', 'type_name']


def type_name(kind: Any) -> str:
    """Return the name of the class, without scope; empty for None.

    >>> type_name('mlic_mm.LoadImage'), type_name(dict)
    ('LoadImage', 'dict')
    """
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', None) or str(kind or '')
    return name.rpartition('.')[2]


def type_class(registry: Registry, kind: Any) -> Any:
    """Return the class; None where the registry does not know the name."""
    return registry.get(kind) if isinstance(kind, str) else kind
