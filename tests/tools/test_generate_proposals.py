"""tools/generate_proposals.py: a run that is stopped goes on, files are kept, recall is printed."""

import re
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from run_tool import call_tool, run_failing_tool, run_tool
from tiny_run import ToolProcess

from mlic_mm.datasets import ProposalFile
from mlic_mm.models.patch_generators.contrib import contrib_command

pytestmark = pytest.mark.integration

REPO = Path(__file__).resolve().parents[2]

GENERATOR = """
import time
import numpy as np
from mlic_mm.models.patch_generators import PatchGenerator
from mlic_mm.registry import TASK_UTILS

@TASK_UTILS.register_module()
class Corners(PatchGenerator):
    def __init__(self, wait=0.0, bad='', num=4):
        super().__init__(num)
        self.wait, self.bad = wait, bad

    def propose(self, image):
        time.sleep(self.wait)
        if self.bad and image[0, 0, 0] == int(self.bad):
            raise ValueError('this image is not to my liking')
        value = float(image[0, 0, 0])
        return np.array([[0, 0, 10, 1 + value / 20], [5, 5, 20, 20]]), np.array([0.5, 0.25])
"""
CONFIG = """
import sys
sys.path.insert(0, {root!r})
custom_imports = dict(imports=['mlic_mm', 'own_generator'], allow_failed_imports=False)
default_scope = 'mmpretrain'
patch_generator = dict(type='mlic_mm.Corners')
dataset = dict(
    type='mlic_mm.CSVMultiLabel', ann_file='labels.csv', data_root={root!r},
    # The file that is to be written: it is not there yet.
    pipeline=[dict(type='mlic_mm.LoadImage'), dict(type='mlic_mm.LoadProposals', file='out.st')])
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
"""
IMAGES = 100


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A hundred images, whose value tells them apart, and a generator that looks at it."""
    root = tmp_path / 'with space'
    root.mkdir()
    for number in range(IMAGES):
        cv2.imwrite(str(root / f'{number:03}.png'), np.full((30, 40, 3), number, np.uint8))
    (root / 'labels.csv').write_text('image,labels\n' + ''.join(f'{n:03}.png,cat\n' for n in range(IMAGES)))
    (root / 'own_generator.py').write_text(GENERATOR)
    (root / 'config.py').write_text(CONFIG.format(root=str(root)))
    return root / 'config.py'


def check(file: ProposalFile) -> None:
    assert file.ids == [f'{number:03}.png' for number in range(IMAGES)]
    for number in range(IMAGES):
        boxes, scores = file[f'{number:03}.png']
        np.testing.assert_allclose(boxes, [[0, 0, 10, 1 + number / 20], [5, 5, 20, 20]], atol=1e-3)
        assert scores.tolist() == [0.5, 0.25]


@pytest.mark.process
def test_stopped_by_ctrl_c_and_gone_on(config: Path) -> None:
    out = config.parent / 'made' / 'out.st'
    words = ('generate_proposals', config, '--out', out, '--workers', '2')
    slow = ToolProcess(
        'generate_proposals.py', *words[1:], '--cfg-options', 'patch_generator.wait=0.03', cwd=config.parent
    )
    parts = out.with_name('out.st.part')
    while slow.process.is_alive() and not list(parts.glob('0*.st')):
        slow.process.join(0.01)
    slow.signal_group(signal.SIGINT)
    assert slow.wait() == 130, slow.output
    assert 'interrupted: the same command goes on from here' in slow.output
    assert 'Traceback' not in slow.output
    assert not out.exists()
    done = sorted(parts.glob('0*.st'))
    assert 1 <= len(done) < 4

    # A part cut short is done again; one that is whole is not.
    cut = parts / '00000096.st'
    cut.write_bytes(done[0].read_bytes()[:200])
    output = run_tool(*words, cwd=config.parent)
    assert re.search(rf'{32 * len(done)} of 100 images were done before', output), output
    assert 'images [##############################] 100/100' in output
    assert '100 images, 200 proposals' in output
    assert 'no recall: the data set gives no boxes' in output
    check(ProposalFile(out))
    assert ProposalFile(out).metadata['generator'] == dict(type='mlic_mm.Corners', num=4)
    assert ProposalFile(out).metadata['dataset'] == dict(type='CSVMultiLabel', id_type='str', splits=['train', 'val'])
    assert not parts.exists()

    # The file is kept unless replacing it is asked for, and processes do not decide what is in it.
    before, digest = out.read_bytes(), ProposalFile(out).fingerprint
    assert 'exists and is kept; --force replaces it' in run_failing_tool(*words, cwd=config.parent)
    assert out.read_bytes() == before
    run_tool(*words[:-1], '1', '--force', cwd=config.parent)
    assert ProposalFile(out).fingerprint == digest


def test_parts_of_other_settings_are_not_mixed_in(config: Path) -> None:
    out = config.parent / 'out.st'
    words = ('generate_proposals', config, '--out', out, '--workers', '1')
    output = run_failing_tool(*words, '--cfg-options', 'patch_generator.bad=70', cwd=config.parent)
    assert 'error: this image is not to my liking' in output
    assert 'Traceback' not in output
    assert len(list((config.parent / 'out.st.part').glob('0*.st'))) == 2
    output = run_failing_tool(*words, '--num', '1', cwd=config.parent)
    assert re.search(r"was begun with other generator: \{.*'num': 4.*--force", output), output
    run_tool(*words, '--num', '1', '--force', cwd=config.parent)
    assert len(ProposalFile(out)['000.png'][1]) == 1


def test_user_errors_are_one_line(config: Path, tmp_path: Path) -> None:
    words = [str(config), '--out', str(tmp_path / 'out.st')]
    with pytest.raises(SystemExit, match='has no test_dataloader; it has data for: train, val'):
        call_tool('generate_proposals', *words, '--split', 'test')
    with pytest.raises(SystemExit, match=r'error: .*NoSuchGenerator.*did you mean .*Generator'):
        call_tool('generate_proposals', *words, '--generator', 'NoSuchGenerator')
    with pytest.raises(SystemExit, match=r'error: .*num=0'):
        call_tool('generate_proposals', *words, '--num', '0')
    (tmp_path / 'out.st.part').mkdir()
    (tmp_path / 'out.st.part' / 'diary').write_text('mine')
    with pytest.raises(SystemExit, match='is no folder of unfinished proposals; it is left alone'):
        call_tool('generate_proposals', *words, '--force')
    assert (tmp_path / 'out.st.part' / 'diary').read_text() == 'mine'
    plain = str(REPO / 'configs/_base_/datasets/voc07_448.py')
    with pytest.raises(SystemExit, match=r'has no patch_generator=dict\(type=…\); name one'):
        call_tool('generate_proposals', plain, *words[1:])


def test_recall_on_real_photographs(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    if not hasattr(cv2, 'ximgproc'):
        pytest.skip(f'no contrib build of OpenCV: {contrib_command()}')
    monkeypatch.setenv('COCO_ROOT', str(data_root / 'coco_mini'))
    out = tmp_path / 'coco.st'
    call_tool(
        'generate_proposals',
        str(REPO / 'configs/_base_/datasets/coco2017_448.py'),
        *('--split', 'val', '--out', str(out), '--generator', 'EdgeBoxesGenerator', '--num', '500'),
        *('--cfg-options', 'val_dataloader.dataset.indices=8', 'patch_generator.beta=0.7'),
    )
    text = capfd.readouterr().out
    assert len(ProposalFile(out, 'COCOMultiLabel')) == 8
    assert ProposalFile(out).metadata['generator']['beta'] == 0.7
    found = [float(x) for x in re.findall(r'best  ?\d+: ([\d.]+) at IoU 0.5', text)]
    assert len(found) == 2, text
    assert 0.2 < found[0] <= found[1] <= 1
