"""What a resumed training takes from its checkpoint, and what from its config."""

import pytest

from mlic_mm.engine.resume_check import compare_with_checkpoint, parse_settings

CONFIG = """
model = dict(head=dict(num_classes=4, type='Head'), type='Model')
optim_wrapper = dict(clip_grad=None, optimizer=dict(lr=0.1, momentum=0.9, type='SGD'))
param_scheduler = [
    dict(by_epoch=False, end=5, type='LinearLR'),
    dict(milestones=[2], type='MultiStepLR'),
]
train_cfg = dict(by_epoch=True, max_epochs=3)
work_dir = 'a'
"""


def changed(*changes: tuple[str, str]) -> list[str]:
    text = CONFIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return [str(found) for found in compare_with_checkpoint(text, dict(meta=dict(cfg=CONFIG)), 'checkpoint c.pth')]


def test_settings_by_their_keys() -> None:
    assert parse_settings(CONFIG) == {
        'model.head.num_classes': '4',
        'model.head.type': "'Head'",
        'model.type': "'Model'",
        'optim_wrapper.clip_grad': 'None',
        'optim_wrapper.optimizer.lr': '0.1',
        'optim_wrapper.optimizer.momentum': '0.9',
        'optim_wrapper.optimizer.type': "'SGD'",
        'param_scheduler.0.by_epoch': 'False',
        'param_scheduler.0.end': '5',
        'param_scheduler.0.type': "'LinearLR'",
        'param_scheduler.1.milestones': '[2]',
        'param_scheduler.1.type': "'MultiStepLR'",
        'train_cfg.by_epoch': 'True',
        'train_cfg.max_epochs': '3',
        'work_dir': "'a'",
    }


def test_nothing_is_executed() -> None:
    """The text is a stranger's."""
    assert parse_settings("x = __import__('os').system('false')\nimport os\n(1).foo()\ny = dict(a=exit())") == {
        'x': "__import__('os').system('false')",
        'y.a': 'exit()',
    }
    with pytest.raises(ValueError, match='the config in the checkpoint cannot be read'):
        parse_settings('x = (')


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (('lr=0.1', 'lr=0.5'), 'optim_wrapper.optimizer.lr=0.1 holds (checkpoint), not 0.5'),
        (('momentum=0.9, ', ''), 'optim_wrapper.optimizer.momentum=0.9 holds (checkpoint), not nothing'),
        (('[2]', '[7]'), 'param_scheduler.1.milestones=[2] holds (checkpoint), not [7]'),
        (('max_epochs=3', 'max_epochs=9'), 'train_cfg.max_epochs=9 holds (config), not 3'),
        (
            ('clip_grad=None', 'clip_grad=dict(max_norm=1)'),
            'optim_wrapper.clip_grad.max_norm=1 holds (config), not nothing',
        ),
    ],
)
def test_what_holds_is_named(change: tuple[str, str], line: str) -> None:
    assert line in changed(change)


def test_the_same_and_another_place_need_no_word() -> None:
    assert changed() == []
    assert changed(("work_dir = 'a'", "work_dir = 'b'"), ('[2]', '(2,)')) == []
    assert compare_with_checkpoint(CONFIG, {}, 'c') == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (("'SGD'", "'AdamW'"), r"c\.pth was saved with optim_wrapper\.optimizer\.type='SGD', the config has 'AdamW'"),
        (("type='SGD')", "type='SGD'), paramwise_cfg=dict(bias_lr_mult=2)"), r'paramwise_cfg\.bias_lr_mult=nothing'),
        (("'MultiStepLR'", "'StepLR'"), r'other schedules \(param_scheduler\.1\.type'),
        (("    dict(milestones=[2], type='MultiStepLR'),\n", ''), r'other schedules \(param_scheduler\.1\.'),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=f'{message}.*load_from=CHECKPOINT instead of --resume'):
        changed(change)
