"""Mistakes of users end with exit status 2 and one line that names what is wrong, before any work is done."""

from pathlib import Path

import pytest
import torch
from run_tool import run_failing_tool, run_tool
from tiny_run import ToolProcess

pytestmark = pytest.mark.integration

C = 'data/tiny config.py'
CHECKPOINT = 'full/epoch_3.pth'
TRAIN = {
    'model=None': 'has no `model`, the model to train: give a config of a whole training',
    'model.type=ImgClassifier': "type='ImgClassifier': there is no such model; did you mean 'ImageClassifier'",
    'model.head.nm_classes=7': "MultiLabelLinearClsHead has no argument 'nm_classes'; did you mean 'num_classes'?",
    'model.head.num_classes=abc': 'MultiLabelLinearClsHead cannot be built: ',
    'train_dataloader.dataset=None': '`train_dataloader.dataset` must be a dict(type=…)',
    'train_cfg.max_epochs=0': 'train_cfg.max_epochs=0 must be a positive whole number',
    'train_cfg.by_epoch=False': 'train_cfg has no max_iters',
    'optim_wrapper.optimizer.type=AdmW': "type='AdmW': there is no such optimizer; did you mean 'AdamW'",
    'val_evaluator=None': 'has no val_evaluator: give all of',
    'default_hooks.checkpoint.save_best=mAp': "but validation gives no such figure; did you mean 'mAP'?",
    'default_hooks.checkpoint.foo=1': "CheckpointHook has no argument 'foo'",
    'param_scheduler.5.foo=2': 'param_scheduler.5.foo does not fit into config',
    'load_from=net.pth': "its names begin with 'net.', which is not of this model: save it without that prefix",
}
CONFIGS = {
    'empty.py': ('', 'empty.py has no `model`'),
    'syntax.py': ('x = 1\nmodel = dict(\n', "config syntax.py, line 2: '(' was never closed: model = dict("),
    'base.py': ("_base_ = ['syntax.py']\n", "/syntax.py, line 2: '(' was never closed"),
    'lost.py': ("_base_ = ['nowhere.py']\n", 'nowhere.py, which does not exist: correct _base_'),
    'error.py': ('x = 1\ny = undefined\n', "line 2: NameError: name 'undefined' is not defined"),
    'latin.py': (b'# caf\xe9\n', 'config latin.py is not a text in UTF-8 (byte 5)'),
    'text.txt': ('x', 'config text.txt must end in .py, .yaml, .yml, .json'),
    'cut.json': ('{"model": ', 'cut.json: '),
    'number.py': ('model = 5\n', '`model` must be a dict(type=…), it is 5'),
}
WORDS = {
    ('train', C, '--work-dir', 'file/w'): 'file is a file, not a folder; give another path',
    ('train', C, '--work-dri', 'w'): "unknown: --work-dri w; did you mean '--work-dir'?",
    ('train', C, '--resume', 'bare.pth'): 'bare.pth holds weights alone, no state of a training',
    ('test', C): 'ImageClassifier needs a checkpoint, give it after the config',
    ('test', C, 'net.pth'): "its names begin with 'net.', which is not of this model",
    (
        'test',
        C,
        'headless.pth',
    ): 'lacks 2 of the 122 tensors of the model, the first is head.fc.weight; it has no head',
    ('test', C, 'list.pth'): 'holds a list, not a dict of weights',
    ('test', C, 'full'): '/full has best_mAP_epoch_',
    ('test', C, CHECKPOINT, '--out', 'file/x.npz'): 'file is a file, not a folder; give another path',
    ('test', C, CHECKPOINT, '--figures', 'full'): 'full is a folder; give the name of a file',
    ('test', C, CHECKPOINT, '--cfg-options', 'test_evaluator=[]'): 'test_evaluator is empty',
    ('dataset_stats', C, '--out', 'file/x.png'): 'file is a file, not a folder',
    ('browse_dataset', C, '--cfg-options', 'foo'): '--cfg-options foo: write KEY=VALUE',
    ('fuse_scores', 'file'): 'file is no score file that can be read',
    ('reproduce', 'mixup_baselin/2'): "did you mean 'mixup_baseline'?",
}


def test_one_line_and_nothing_done(trained: Path, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    for name in ('data', 'full'):
        (tmp_path / name).symlink_to(trained / name)
    for name, (content, _) in CONFIGS.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    weights = torch.load(trained / CHECKPOINT, weights_only=False)['state_dict']
    torch.save({f'net.{name}': value for name, value in weights.items()}, tmp_path / 'net.pth')
    torch.save({name: value for name, value in weights.items() if 'head' not in name}, tmp_path / 'headless.pth')
    torch.save(weights, tmp_path / 'bare.pth')
    torch.save([1], tmp_path / 'list.pth')

    train = enumerate(TRAIN.items())
    cases = {('train', C, '--work-dir', f'w{i}', '--cfg-options', option): line for i, (option, line) in train}
    cases |= {('train', name): line for name, (_, line) in CONFIGS.items()}
    cases |= WORDS
    for words, line in cases.items():
        output = run_failing_tool(*words, cwd=tmp_path)
        assert line in output.splitlines()[-1], f'{words}: {output[-3000:]}'
        assert 'Epoch(train)' not in output, words
    assert not list(tmp_path.glob('w*/*.pth'))


@pytest.mark.process
def test_debug_shows_the_traceback(trained: Path) -> None:
    """A process each, from its command line to its exit status."""
    words = [C, '--work-dir', 'w', '--cfg-options', 'train_cfg.max_epochs=0']
    plain, debug = (ToolProcess('train.py', *words, *more, cwd=trained) for more in ([], ['--debug']))
    assert (plain.wait(), debug.wait()) == (2, 1)
    line = f'{C}: train_cfg.max_epochs=0 must be a positive whole number'
    assert plain.output == f'error: {line}\n'
    assert 'Traceback' in debug.output
    assert f'ConfigError: {line}' in debug.output


def test_weights_of_other_programs_are_read(trained: Path, tmp_path: Path) -> None:
    """Bare, under another usual name, of several processes, and as safetensors: the same figures."""
    from safetensors.torch import save_file

    weights = torch.load(trained / CHECKPOINT, weights_only=False)['state_dict']
    torch.save({'model': weights, 'epoch': 3}, tmp_path / 'model.pth')
    torch.save({f'module.{name}': value for name, value in weights.items()}, tmp_path / 'module.pth')
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / 'model.safetensors')
    files = [tmp_path / 'model.pth', tmp_path / 'module.pth', tmp_path / 'model.safetensors', CHECKPOINT]
    words = ('--no-report', '--work-dir')
    figures = set()
    for i, file in enumerate(files):
        output = run_tool('test', C, file, *words, f't{i}', cwd=trained)
        (line,) = (line for line in output.splitlines() if ' mAP: ' in line)
        figures.add(line[line.index('mAP: ') : line.index('data_time')])
    assert len(figures) == 1
