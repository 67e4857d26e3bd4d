"""What packages say while they are imported: known noise is kept for the log file, everything else passes."""

import subprocess
import sys
import warnings

import pytest

from mlic_mm.config_files.import_noise import HELD_BACK, hold_back_noise


def test_noise_is_held_back_and_the_rest_passes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mlic_mm.config_files.import_noise.HELD_BACK', HELD_BACK)
    before = list(HELD_BACK)
    with warnings.catch_warnings(), hold_back_noise():
        warnings.simplefilter('always')
        print('Could not import OneDL')
        print('one', end='')
        print(' line')
        warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from\n mmcv.ops', UserWarning, stacklevel=1)
        print('no end', end='')
    assert capsys.readouterr().out == 'one line\nno end'
    assert HELD_BACK[len(before) :] == [
        'Could not import OneDL',
        'Fail to import ``MultiScaleDeformableAttention`` from mmcv.ops',
    ]
    HELD_BACK[:] = before
    with pytest.warns(UserWarning, match='other'), hold_back_noise():
        warnings.warn('other', UserWarning, stacklevel=1)


@pytest.mark.process
def test_an_import_is_silent() -> None:
    done = subprocess.run([sys.executable, '-c', 'import mlic_mm'], capture_output=True, text=True, check=True)
    assert done.stdout == ''
    assert 'OneDL' not in done.stderr
    assert 'Deformable' not in done.stderr
