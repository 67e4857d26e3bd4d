import math
from pathlib import Path

import pytest

from mlic_mm.visualization.report.training_log import read_training_log, smooth

LINES = """{"lr": 0.1, "data_time": 0.2, "loss": 2.5, "loss_cls": 2.0, "time": 1, "epoch": 1, "iter": 10, "step": 10}
{"lr": 0.05, "data_time": 0.2, "loss": 1.5, "loss_cls": 1.0, "time": 1, "epoch": 1, "iter": 20, "step": 20}
{"mAP": 40.5, "CF1": 30.0, "OF1": 35.0, "CP": 1.0, "data_time": 0.1, "time": 0.2, "step": 1}
"""


def test_by_hand(tmp_path: Path) -> None:
    path = tmp_path / 'scalars.json'
    path.write_text(LINES)
    log = read_training_log(path)
    assert log.losses == {'loss': [(10, 2.5), (20, 1.5)], 'loss_cls': [(10, 2.0), (20, 1.0)]}
    assert log.rates == {'lr': [(10, 0.1), (20, 0.05)]}
    assert log.metrics == {'mAP': [(1, 40.5)], 'CF1': [(1, 30.0)], 'OF1': [(1, 35.0)]}
    assert log.metric_axis == 'epoch'
    assert log.skipped == 0


def test_every_cut_of_the_last_line_is_survived(tmp_path: Path) -> None:
    path = tmp_path / 'scalars.json'
    whole = LINES + '{"lr": 0.01, "loss": 1.25, "name": "ü", "epoch": 2, "iter": 30, "step": 30}'
    data = whole.encode()
    start = len(LINES.encode())
    for end in range(start, len(data)):
        path.write_bytes(data[:end])
        log = read_training_log(path)
        assert log.losses['loss'] == [(10, 2.5), (20, 1.5)]
        assert log.skipped == (end > start)
    path.write_bytes(data)
    assert read_training_log(path).losses['loss'][-1] == (30, 1.25)


def test_resumed_run_keeps_the_later_value(tmp_path: Path) -> None:
    path = tmp_path / 'scalars.json'
    path.write_text(
        LINES + '{"lr": 0.05, "loss": 1.75, "iter": 20, "step": 20}\n{"loss": 1.0, "lr": 0.05, "step": 30}\n'
    )
    assert read_training_log(path).losses['loss'] == [(10, 2.5), (20, 1.75), (30, 1.0)]


def test_iterations_prefixes_and_values_that_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / 'scalars.json'
    path.write_text(
        '{"train/loss": NaN, "base_lr": 0.1, "lr": 0.01, "step": 5, "iter": 5}\n'
        '{"train/loss": "high", "loss_x": true, "step": 6}\n{"loss": 1.0}\n'
        '{"val/loss": 3.0, "voc/mAP": 12.5, "step": 5}\n'
    )
    log = read_training_log(path)
    assert list(log.losses) == ['train/loss']
    assert math.isnan(log.losses['train/loss'][0][1])
    assert log.rates == {'base_lr': [(5, 0.1)], 'lr': [(5, 0.01)]}
    assert log.metrics == {'voc/mAP': [(5, 12.5)]}
    assert log.metric_axis == 'iteration'


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'none\.json'):
        read_training_log(tmp_path / 'none.json')
    path = tmp_path / 'picture.json'
    path.write_bytes(b'\x89PNG\r\n\x1a\n\xff\xfe')
    with pytest.raises(ValueError, match=r'picture\.json: not a training log'):
        read_training_log(path)
    path.write_text('')
    assert read_training_log(path).losses == {}


def test_smooth() -> None:
    points = [(1, 2.0), (2, 4.0), (3, math.nan), (4, 1.0), (5, 7.0)]
    assert smooth(points[:2], 2) == points[:2]
    assert smooth(points[:2], 1) == [(1.5, 3.0)]
    (x0, y0), (x1, y1), (x2, y2) = smooth(points, 3)
    assert (x0, y0, x1, x2, y2) == (1.5, 3.0, 3.5, 5, 7.0)
    assert math.isnan(y1)
    assert smooth([], 3) == []
