"""Mixup in every other epoch, also after a resume."""

import re

import pytest
from mmengine.registry import HOOKS
from run_tool import run_failing_tool, run_tool
from tiny_run import write_config

import mlic_mm  # noqa: F401

MIX = """
model['data_preprocessor']['type'] = 'mlic_mm.MultiLabelDataPreprocessor'
model['train_cfg'] = dict(augments={augments})
default_hooks['alternate'] = dict(type='mlic_mm.AlternateBatchAugmentHook', {options})
train_cfg = dict(by_epoch=True, max_epochs={epochs})
"""


def mixing(log: str) -> dict[int, str]:
    """What was logged, by epoch."""
    return {int(epoch): state for epoch, state in re.findall(r'epoch (\d+): batch augments (on|off)', log)}


def config(folder, options='', epochs=5, augments="dict(type='mlic_mm.MixupOR')"):
    return write_config(folder, extra=MIX.format(options=options, epochs=epochs, augments=augments))


@pytest.mark.integration
@pytest.mark.parametrize(
    ('options', 'expected'),
    [('', [2, 4]), ('start=1', [1, 3, 5]), ('start=3, period=1', [3, 4, 5]), ('start=2, period=3', [2, 5])],
)
def test_epochs_that_mix(tmp_path, options, expected):
    log = run_tool('train', config(tmp_path, options), cwd=tmp_path)
    assert mixing(log) == {epoch: 'on' if epoch in expected else 'off' for epoch in range(1, 6)}


@pytest.mark.integration
def test_alternation_goes_on_after_a_resume(tmp_path):
    first = run_tool('train', config(tmp_path, epochs=3), cwd=tmp_path)
    second = run_tool('train', config(tmp_path, epochs=6), '--resume', cwd=tmp_path)
    assert mixing(first) == {1: 'off', 2: 'on', 3: 'off'}
    assert mixing(second) == {4: 'on', 5: 'off', 6: 'on'}


@pytest.mark.integration
def test_mixing_changes_the_loss_of_its_epochs_only(tmp_path):
    """The same run with and without mixing is the same up to the first epoch that mixes."""

    def losses(folder, options):
        log = run_tool('train', config(folder, options, epochs=2), cwd=folder)
        return re.findall(r'Epoch\(train\) +\[(\d)\].* loss: ([\d.]+)', log)

    late, never = losses(tmp_path / 'a', 'start=2'), losses(tmp_path / 'b', 'start=9')
    assert [x for x in late if x[0] == '1'] == [x for x in never if x[0] == '1'] != []
    assert [x for x in late if x[0] == '2'] != [x for x in never if x[0] == '2']


@pytest.mark.integration
@pytest.mark.parametrize(
    'augments',
    [
        "dict(type='Mixup', alpha=0.2)",
        "dict(type='CutMix', alpha=1.0)",
        "[dict(type='mlic_mm.MixupOR'), dict(type='CutMix', alpha=1.0)]",
    ],
)
def test_other_augments_in_the_same_place(tmp_path, augments):
    assert mixing(run_tool('train', config(tmp_path, epochs=2, augments=augments), cwd=tmp_path)) == {1: 'off', 2: 'on'}


@pytest.mark.integration
def test_mixed_precision(tmp_path):
    log = run_tool('train', config(tmp_path, epochs=2), '--amp', cwd=tmp_path)
    assert mixing(log) == {1: 'off', 2: 'on'}
    assert 'nan' not in log.lower()


@pytest.mark.integration
def test_nothing_to_alternate_is_an_error(tmp_path):
    log = run_failing_tool('train', config(tmp_path, augments='None'), cwd=tmp_path)
    assert 'no batch augments to alternate' in log


@pytest.mark.integration
def test_training_by_iteration_is_an_error(tmp_path):
    file = config(tmp_path)
    file.write_text(file.read_text() + '\ntrain_cfg = dict(by_epoch=False, max_iters=4)\nparam_scheduler = None\n')
    assert 'set train_cfg=dict(by_epoch=True' in run_failing_tool('train', file, cwd=tmp_path)


@pytest.mark.parametrize('options', [dict(start=0), dict(period=0)])
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match='=0 must be a whole number at least 1'):
        HOOKS.build(dict(type='mlic_mm.AlternateBatchAugmentHook', **options))


@pytest.mark.integration
def test_two_preprocessors_in_a_config_are_an_error(tmp_path):
    file = write_config(tmp_path, extra='data_preprocessor = dict(mean=[0.0] * 3, std=[1.0] * 3)\n')
    assert 'both set' in run_failing_tool('train', file, cwd=tmp_path)
