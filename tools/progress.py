"""The stages and the progress bar of ``mlic_mm/utils/progress.py``, before the package can be imported."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
# In an installed package, tools lie in mlic_mm/.mim.
PACKAGE = REPO.parent if REPO.name == '.mim' else REPO / 'mlic_mm'
spec = spec_from_file_location('progress_bar', PACKAGE / 'utils/progress.py')
assert spec is not None
assert spec.loader is not None
module = module_from_spec(spec)
spec.loader.exec_module(module)

Bar, clock, stage = module.Bar, module.clock, module.stage
