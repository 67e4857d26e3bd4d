"""Configs that need mmdet."""

from importlib.util import find_spec

import pytest
from mmengine.config import Config


def skip_without_mmdet(cfg: Config) -> None:
    """Skip the test where a config has parts of mmdet and mmdet or mmcv's compiled ops are absent."""
    text = repr(cfg.to_dict())
    if ("'mmdet." in text or "'mlic_mm.SpatialContext" in text) and None in (
        find_spec('mmdet'),
        find_spec('mmcv._ext'),
    ):
        pytest.skip("no mmdet with mmcv's compiled ops: make test installs them")
