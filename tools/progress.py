"""The stages and the progress bar of ``mlic_mm/utils/progress.py``, before the package can be imported."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

spec = spec_from_file_location('progress_bar', Path(__file__).resolve().parents[1] / 'mlic_mm/utils/progress.py')
assert spec is not None
assert spec.loader is not None
module = module_from_spec(spec)
spec.loader.exec_module(module)

Bar, clock, stage = module.Bar, module.clock, module.stage
