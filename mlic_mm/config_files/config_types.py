"""Read ``type`` of a part of a config: a name with or without scope, or the class itself in pure-Python configs."""

from typing import Any

from mmengine.registry import Registry

__all__ = ['type_class', 'type_name']


def type_name(kind: Any) -> str:
    """Return the name of the class without its scope; an empty text for None.

    >>> type_name('mlic_mm.LoadImage'), type_name(dict)
    ('LoadImage', 'dict')
    """
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', None) or str(kind or '')
    return name.rpartition('.')[2]


def type_class(registry: Registry, kind: Any) -> Any:
    """Return the class; None if the registry does not know the name."""
    return registry.get(kind) if isinstance(kind, str) else kind
