"""tools/test.py: the protocol of the config's metric, options and all, reaches log, figures and report."""

import json
import re
from pathlib import Path

import pytest
from run_tool import run_tool
from tiny_run import write_config

from mlic_mm.evaluation import ScoreDump, evaluate_scores, get_protocol

pytestmark = pytest.mark.integration

OPTIONS = """
test_evaluator = dict(type='mlic_mm.MLICMetric', preset='asl', threshold=0.3, topk=1, no_positives='skip')
"""


@pytest.mark.parametrize(
    ('words', 'protocol'),
    [
        ([], get_protocol('asl', threshold=0.3, topk=1, no_positives='skip')),
        (['--preset', 'wang'], get_protocol('wang')),  # in place of the whole, not of the preset under the options
    ],
)
def test_one_protocol(trained: Path, tmp_path: Path, words: list[str], protocol: object) -> None:
    config = write_config(tmp_path / 'data', extra=OPTIONS)
    words = [config, trained / 'full/epoch_3.pth', '--work-dir', 'w', '--figures', 'figures.json', *words]
    log = run_tool('test', *words, cwd=tmp_path)
    assert f'protocol {protocol.title}' in log
    dump = ScoreDump.load(tmp_path / 'w/report/scores.npz')
    expected = evaluate_scores(dump.scores, dump.targets, protocol)
    assert json.loads((tmp_path / 'figures.json').read_text()) == pytest.approx(expected)
    assert f' OF1: {expected["OF1"]:.4f} ' in log
    page = (tmp_path / 'w/report/index.html').read_text()
    assert f'preset <b>{protocol.title}</b>' in page
    assert re.search(rf'<dt>OF1</dt><dd>{expected["OF1"]:.1f}</dd>', page)
    assert page.count('data:image/jpeg') > 10  # the data set's own images need no permission
