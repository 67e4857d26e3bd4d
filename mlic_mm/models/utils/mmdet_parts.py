"""mmdet's parts in models of this package."""

from importlib.util import find_spec

from mlic_mm.config_files.import_noise import hold_back_noise

INSTALL = "pip install -e '.[detection]', and mmcv's compiled ops, see python -m mlic_mm.doctor"


def register_mmdet(user: str) -> None:
    """Make ``mmdet.Name`` known to the registries.

    Args:
        user: Name of the class that needs mmdet, for the message.

    Raises:
        ImportError: mmdet or mmcv's ops are missing; the message has the command.
    """
    if find_spec('mmdet') is None or find_spec('mmcv._ext') is None:
        raise ImportError(f'{user} needs mmdet: {INSTALL}')
    with hold_back_noise():
        from mmdet.utils import register_all_modules

        register_all_modules(init_default_scope=False)
