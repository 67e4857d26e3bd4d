"""Show what is installed, whether ops, GPU and data are there, and the command for what is missing.

``python -m mlic_mm.doctor [--json]`` ends with exit status 0 if training can run, else with 1. Only imports count,
never the name of a distribution, so the original and the maintained OpenMMLab packages are treated alike. A package
outside of the standard library is imported only when it is checked.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RUNTIME = 'pip install -e .'
MAINTAINED = "pip install -e '.[mm]' (the maintained line; or the original mmengine, mmcv, mmpretrain)"
SAME_LINE = 'install it from the same line (maintained onedl-*, or original) as the OpenMMLab packages that are there'
LIBRARIES = 'it comes with mmcv; if the message names libGL or libgthread: apt-get install libgl1 libglib2.0-0'
SAME_BUILD = 'install torch and torchvision of one build: pip install torch==2.11.0 torchvision==0.26.0'
OPS = (
    "make test compiles them in .venv; by hand: pip install 'setuptools>=80,<82' wheel ninja && pip install "
    '--force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv==2.3.6 (original line: mmcv)'
)
CURES = {'cv2': LIBRARIES, 'torchvision': SAME_BUILD}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: Name of the part.
        state: ``ok``, ``missing`` (training cannot run), ``absent`` (something optional) or ``note``.
        found: Version and place, or the reason of the failure.
        cure: What to run or do; empty if nothing is to be done.
    """

    name: str
    state: str
    found: str
    cure: str = ''


def examine() -> list[Finding]:
    """Check everything, in the order in which it is needed."""
    findings = [_python()]
    for name in ('torch', 'torchvision', 'numpy', 'scipy', 'PIL', 'matplotlib', 'sklearn', 'cv2'):
        findings.append(_package(name, 'missing', CURES.get(name, RUNTIME)))
    findings += _openmmlab()
    findings.append(_probe('resume', 'note', _resume))
    findings.append(_probe('torchvision ops', 'missing', _torchvision_ops, SAME_BUILD))
    findings += [_probe('GPU', 'note', _gpu), _probe("mmcv's ops", 'absent', _mmcv_ops, OPS)]
    findings.append(_package('mmdet', 'absent', "pip install -e '.[detection]' (only region methods need it)"))
    findings.append(_probe('cv2.ximgproc', 'absent', _ximgproc))
    findings.append(_package('timm', 'absent', "pip install -e '.[optional]' (timm backbones)"))
    return findings + _data()


def _openmmlab() -> list[Finding]:
    """Check the OpenMMLab packages. The cure must not mix the two lines: they overwrite each other's files."""
    names = ('mmengine', 'mmcv', 'mmpretrain')
    some = any(find_spec(name) for name in names)
    return [_package(name, 'missing', SAME_LINE if some else MAINTAINED) for name in names]


def _python() -> Finding:
    found = f'{platform.python_version()} on {platform.platform()} ({sys.executable})'
    fine = sys.version_info >= (3, 10)
    return Finding('Python', 'ok' if fine else 'missing', found, '' if fine else 'use Python 3.10 or newer')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a package prints at its import out of the report."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        yield


def _import(name: str) -> Any:
    with _quiet():
        return importlib.import_module(name)


def _reason(error: BaseException) -> str:
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:300]}'


def _package(name: str, state: str, cure: str) -> Finding:
    try:
        module = _import(name)
    except Exception as error:  # a broken package may raise any error at import
        return Finding(name, state, _reason(error), cure)
    place = Path(getattr(module, '__file__', None) or '?').parent
    return Finding(name, 'ok', f'{getattr(module, "__version__", "version unknown")} ({place})')


def _probe(name: str, state: str, check: Callable[[], tuple[str, str]], cure: str = '') -> Finding:
    """Run ``check``. It returns what it found and a cure (empty if all is well). If it raises, ``cure`` is taken."""
    try:
        with _quiet():
            found, own_cure = check()
    except Exception as error:
        return Finding(name, state, _reason(error), cure)
    return Finding(name, state if own_cure else 'ok', found, own_cure)


def _torchvision_ops() -> tuple[str, str]:
    import torch
    from torchvision.ops import nms

    kept = nms(torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0, 0.5]), 0.5)
    return f'nms, roi_align and roi_pool run (nms kept {len(kept)} of 2 equal boxes)', ''


def _gpu() -> tuple[str, str]:
    import torch

    if not torch.cuda.is_available():
        return 'none that torch can use: training runs on the CPU', ''
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f'{", ".join(names)}; CUDA {torch.version.cuda}', ''


def _mmcv_ops() -> tuple[str, str]:
    import mmcv._ext
    import torch  # noqa: F401  (its libraries must be there before the ops are)

    return f'compiled ({Path(mmcv._ext.__file__).name})', ''


def _ximgproc() -> tuple[str, str]:
    import cv2

    if hasattr(getattr(cv2, 'ximgproc', None), 'createEdgeBoxes'):
        return 'the contrib build of OpenCV', ''
    from mlic_mm.models.patch_generators.contrib import contrib_command

    return f'the plain build of OpenCV {cv2.__version__}', f'{contrib_command()} (proposals by EdgeBoxes)'


def _resume() -> tuple[str, str]:
    """Write what a runner's checkpoint holds besides tensors, and read it as a runner does."""
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import CheckpointLoader

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, 'checkpoint.pth')
        torch.save({'message_hub': {'log_scalars': {'loss': HistoryBuffer([1.0], [1])}}}, file)
        try:
            CheckpointLoader.load_checkpoint(file, map_location='cpu')
        except Exception as error:  # the error's type depends on the version of torch
            return (
                f'mmengine cannot read its own checkpoints with torch {torch.__version__}: {_reason(error)[:60]}…',
                "resume with this project's tools/train.py, which can read them; elsewhere use torch < 2.6, or the "
                "maintained line in a new environment: pip install -e '.[mm]'",
            )
    return 'mmengine reads back its own checkpoints', ''


def _data() -> list[Finding]:
    """Look for data sets, label graphs and weights where the configs expect them, below the working directory."""
    coco = Path(os.environ.get('COCO_ROOT', 'data/coco'))
    voc = Path(os.environ.get('VOC_ROOT', 'data/VOCdevkit/VOC2007'))
    return [
        Finding('digits', 'ok', 'drawn from scikit-learn at first use, nothing to fetch'),
        _folder(
            'COCO',
            coco,
            'annotations/instances_*.json',
            f'unpack the images and annotations of cocodataset.org into {coco}, or set COCO_ROOT',
        ),
        _folder(
            'VOC',
            voc,
            'ImageSets/Main/*.txt',
            f'unpack the archives of VOC2007 so that {voc}/JPEGImages exists, or set VOC_ROOT',
        ),
        _folder('label graphs', Path('data/label_graphs'), '*', 'python tools/build_label_graph.py CONFIG'),
        _folder('weights', Path('data/pretrained'), '*.pth', 'python tools/convert_efficientnet_lite.py'),
    ]


def _folder(name: str, root: Path, pattern: str, cure: str) -> Finding:
    files = sorted(file.name for file in root.glob(pattern)) if root.is_dir() else []
    if not files:
        return Finding(name, 'absent', f'no {pattern} in {root.absolute()}', cure)
    shown = ', '.join(files[:4]) + (f' and {len(files) - 4} more' if len(files) > 4 else '')
    return Finding(name, 'ok', f'{root.absolute()}: {shown}')


def can_train(findings: list[Finding]) -> bool:
    """Return whether all that training needs is there."""
    return all(finding.state != 'missing' for finding in findings)


def render(findings: list[Finding]) -> str:
    """Return the report for people."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f'{finding.state:<8} {finding.name:<{width}}  {finding.found}')
        if finding.cure:
            lines.append(f'{"":<8} {"":<{width}}  -> {finding.cure}')
    lines.append('Training can run.' if can_train(findings) else 'Training cannot run: see the lines marked missing.')
    return '\n'.join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m mlic_mm.doctor', description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--json', action='store_true', help='for machines')
    args = parser.parse_args()
    findings = examine()
    if args.json:
        print(json.dumps({'can_train': can_train(findings), 'findings': [asdict(f) for f in findings]}, indent=2))
    else:
        print(render(findings))
    return 0 if can_train(findings) else 1


if __name__ == '__main__':
    sys.exit(main())
