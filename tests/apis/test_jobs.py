"""Jobs called from Python, one after the other in one process."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_run import skip_pretty_printing, write_config

from mlic_mm.apis.browse import browse_dataset
from mlic_mm.apis.compare_scores import compare_scores
from mlic_mm.apis.label_graph import build_label_graph
from mlic_mm.apis.proposals import generate_proposals
from mlic_mm.apis.test import test as run_test
from mlic_mm.apis.train import train


@pytest.mark.integration
def test_each_run_has_a_log_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also runs that begin in one second."""
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', None)
    skip_pretty_printing()
    config = write_config(tmp_path / 'data')
    short = {'train_cfg.max_epochs': 1}
    with pytest.raises(ValueError, match='is made for 5 labels'):
        train(config, work_dir=tmp_path / 'a', options={**short, 'model.head.num_classes': 5})
    run = train(config, work_dir=tmp_path / 'a', options=short)
    for folder in 'bcd':
        run_test(config, run / 'epoch_1.pth', work_dir=tmp_path / folder, report=False)
        assert len(list((tmp_path / folder).glob('test/*/*.log'))) == 1
    train(config, work_dir=run, resume=run / 'epoch_1.pth', options={'train_cfg.max_epochs': 2})
    assert (run / 'epoch_2.pth').is_file()
    with pytest.raises(TypeError, match=r'^seed=1.5 must be a whole number at least 0 and below 4294967296$'):
        train(config, seed=1.5)  # type: ignore[arg-type]


@pytest.mark.integration
def test_threads_and_random_numbers_stay(tmp_path: Path) -> None:
    config = write_config(tmp_path / 'data')
    before = torch.get_num_threads(), cv2.getNumThreads()
    with pytest.raises((ValueError, KeyError)):
        generate_proposals(config, out=tmp_path / 'p.st', generator='NoSuchGenerator')
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    browse_dataset(config, out=tmp_path / 'sheet.png', split='train', seed=0, number=2)
    assert np.random.random() == expected


def test_wrong_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'classes_order=.*did you mean'):
        build_label_graph(from_pickle=tmp_path / 'a.pkl', classes_order='alphabetic')  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='at least one score file'):
        compare_scores([], [tmp_path / 's.npz'])
