"""MLICMetric and DumpScores in mmengine's evaluator, in one process and in two real ones."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.structures import BaseDataElement
from torch import Tensor

from mlic_mm.evaluation import PRESETS, DumpScores, MLICMetric, ScoreDump, evaluate_scores
from mlic_mm.evaluation.metrics.collected_scores import CollectedScores, merge_processes

META = {'classes': ('a', 'b', 'c', 'd', 'e')}


def data_set(size: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(size)
    scores = rng.integers(0, 20, (size, 5)).astype(np.float32) / 20
    targets = rng.choice([-1, 0, 1], (size, 5), p=[0.1, 0.5, 0.4]).astype(np.float32)
    targets[:, 0] = 1
    return torch.from_numpy(scores), torch.from_numpy(targets)


def sample(data: tuple[Tensor, Tensor], index: int, **names: Any) -> dict:
    names = names or {'sample_idx': index, 'img_id': f'{index:04d}', 'img_path': f'images/{index}.jpg'}
    return {'pred_score': data[0][index], 'gt_score': data[1][index], **names}


def run(metrics: Any, samples: list[dict], size: int, batch: int = 3) -> dict:
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = META
    for start in range(0, len(samples), batch):
        evaluator.process([BaseDataElement(**s) for s in samples[start : start + batch]])
    return evaluator.evaluate(size)


@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('batch', [1, 4, 200])
def test_equals_the_function_in_any_order_and_batch(preset: str, batch: int) -> None:
    data = data_set(133)
    order = np.random.default_rng(batch).permutation(133)
    config = {'type': 'mlic_mm.MLICMetric', 'preset': preset, 'per_class': True}
    found = run([config], [sample(data, i) for i in order], 133, batch)
    assert str(found) == str(evaluate_scores(*data, preset, per_class=True, classes=META['classes']))


def test_overrides_prefix_and_reuse() -> None:
    data = data_set(9)
    metric = MLICMetric('asl', threshold=0.75, prefix='val')
    expected = evaluate_scores(*data, 'asl', threshold=0.75)
    for _ in range(2):  # a second evaluation starts from nothing
        found = run(metric, [sample(data, i) for i in range(9)], 9)
        assert found == {f'val/{name}': value for name, value in expected.items()}


def test_best_checkpoint_by_map_and_first_key(caplog: pytest.LogCaptureFixture) -> None:
    metric = MLICMetric()
    assert 'prefix' not in caplog.text
    assert next(iter(run(metric, [sample(data_set(4), i) for i in range(4)], 4))) == 'mAP'
    assert CheckpointHook(save_best='mAP').rules == ['greater']


def test_gt_label_in_place_of_gt_score() -> None:
    scores, targets = data_set(6)
    targets = (targets == 1).float()
    labels = [torch.nonzero(row).flatten() for row in targets]
    for as_given in (lambda x: x, lambda x: x.tolist(), lambda x: x.numpy()):
        samples = [{'pred_score': s, 'gt_label': as_given(y)} for s, y in zip(scores, labels, strict=True)]
        samples[2] = {'pred_score': scores[2], 'gt_score': targets[2]}
        metric = MLICMetric('guo')
        metric.process(None, samples)
        assert metric.evaluate(6) == evaluate_scores(scores, targets, 'guo')


def test_samples_may_be_changed_after_processing() -> None:
    data = data_set(6)
    expected = evaluate_scores(*data)
    metric = MLICMetric()
    metric.process(None, [sample(data, i) for i in range(6)])
    data[0].zero_()
    data[1].fill_(-1)
    assert metric.evaluate(6) == expected


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'gt_score': torch.tensor([0.5, 0, 0, 0, 1])}, r'images/1\.jpg must be 1, 0 or -1'),
        ({'gt_score': torch.zeros(4)}, 'different numbers of classes'),
        ({'gt_score': None, 'gt_label': [5]}, r'\[5\] of images/1\.jpg is outside 0 … 4'),
        ({'gt_score': None}, 'gt_label'),
        ({'pred_score': None}, 'pred_score'),
    ],
)
def test_refuses_bad_samples(change: dict, message: str) -> None:
    data = data_set(3)
    samples = [sample(data, i) for i in range(3)]
    samples[1] = {name: value for name, value in (samples[1] | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        run(MLICMetric(), samples, 3)


def test_refuses_at_the_end() -> None:
    data = data_set(3)
    data[0][2, 1] = torch.nan
    with pytest.raises(ValueError, match=r'scores of image images/2\.jpg are NaN'):
        run(MLICMetric(), [sample(data, i) for i in range(3)], 3)
    with pytest.raises(ValueError, match='no sample to evaluate'):
        MLICMetric().evaluate(3)
    metric = MLICMetric()
    metric.dataset_meta = {'classes': ('a', 'b')}
    metric.process(None, [sample(data_set(2), 0)])
    with pytest.raises(ValueError, match='scores 5 classes, the data set has 2'):
        metric.evaluate(1)
    with pytest.raises(ValueError, match="did you mean 'mlgcn'"):
        MLICMetric('mlgnc')


# Merging processes ---------------------------------------------------------------------------------------------------


def collected(data: tuple[Tensor, Tensor], indices: list[int], keys: list[tuple] | None = None) -> CollectedScores:
    return CollectedScores(
        data[0][indices], data[1][indices].to(torch.int8), keys or [(i, None, None) for i in indices]
    )


@settings(deadline=None)
@given(st.integers(1, 12), st.data())
def test_repeated_samples_count_once_however_they_are_spread(size: int, draw: st.DataObject) -> None:
    data = data_set(size)
    extra = draw.draw(st.lists(st.integers(0, size - 1), max_size=6))
    indices = draw.draw(st.permutations([*range(size), *extra]))
    cuts = [0, *sorted(draw.draw(st.lists(st.integers(0, len(indices)), min_size=1, max_size=3))), len(indices)]
    parts = [collected(data, indices[a:b]) for a, b in pairwise(cuts)]
    merged = merge_processes(parts, size)
    assert sorted(key[0] for key in merged.keys) == list(range(size))
    np.testing.assert_equal(evaluate_scores(merged.scores, merged.targets), evaluate_scores(*data))


def test_without_names_the_position_decides() -> None:
    data = data_set(5)
    parts = [collected(data, indices, [(None, None, None)] * 3) for indices in ([0, 2, 4], [1, 3, 0])]
    torch.testing.assert_close(merge_processes(parts, 5).scores, data[0])


def test_an_image_listed_twice_counts_twice() -> None:
    data = data_set(5)
    names = ['a', 'b', 'a', 'c', 'd']  # samples 0 and 2 show one image and have no index
    parts = [collected(data, i, [(None, None, names[j]) for j in i]) for i in ([0, 2, 4], [1, 3, 0])]
    torch.testing.assert_close(merge_processes(parts, 5).scores, data[0])
    # Contiguous halves, padded: dropping the last one would lose image d.
    parts = [collected(data, i, [(None, None, names[j]) for j in i]) for i in ([0, 1, 2], [3, 0, 4])]
    with pytest.raises(ValueError, match='image d would be lost'):
        merge_processes(parts, 5)


def test_more_samples_than_the_data_set_has() -> None:
    with pytest.raises(ValueError, match='7 different samples were collected for a data set of 6'):
        merge_processes([collected(data_set(7), list(range(7)))], 6)
    with pytest.raises(ValueError, match='of 4 and of 5 classes'):
        merge_processes(
            [CollectedScores(torch.zeros(1, 4), torch.zeros(1, 4), [(0, 0, 0)]), collected(data_set(1), [0])], 2
        )


# Two processes -------------------------------------------------------------------------------------------------------

SIZES = (1, 2, 7, 8)


class Halves(DefaultSampler):
    """Contiguous halves, the second one padded with the first samples: not what mmengine's truncation expects."""

    def __iter__(self):
        half = self.num_samples
        indices = [i % len(self.dataset) for i in range(2 * half)]
        return iter(indices[self.rank * half : (self.rank + 1) * half])


SAMPLERS = {
    'padded': lambda size: DefaultSampler(range(size), shuffle=False),
    'shuffled': lambda size: DefaultSampler(range(size), shuffle=True, seed=3),
    'uneven': lambda size: DefaultSampler(range(size), shuffle=False, round_up=False),
    'halves': lambda size: Halves(range(size), shuffle=False),
}


def work(rank: int, folder: str) -> None:
    os.chdir(folder)
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    found = {}
    for name, sampler in SAMPLERS.items():
        for size in SIZES:
            data = data_set(size)
            samples = [sample(data, i) for i in sampler(size)]
            metrics = [MLICMetric('guo', per_class=True), DumpScores(f'{name}_{size}.npz')]
            found[f'{name}_{size}'] = run(metrics, samples, size, batch=2)
    Path(f'rank{rank}.json').write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.mark.process
def test_two_processes_equal_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in range(2)]
    assert str(ranks[0]) == str(ranks[1])
    for size in SIZES:
        data = data_set(size)
        one = tmp_path / f'one_{size}.npz'
        expected = run(
            [MLICMetric('guo', per_class=True), DumpScores(one)], [sample(data, i) for i in range(size)], size
        )
        for name in SAMPLERS:
            assert str(ranks[0][f'{name}_{size}']) == str(expected), (name, size)
            found = ScoreDump.load(tmp_path / f'{name}_{size}.npz')
            order = np.argsort(found.image_ids)
            np.testing.assert_array_equal(found.scores[order], data[0])
            if name in ('padded', 'uneven'):
                assert found.image_ids.tolist() == ScoreDump.load(one).image_ids.tolist()
    assert not list((tmp_path / '.dist_test').iterdir())
