"""Batch augments get their label vectors, and ignored labels stay ignored."""

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.models.utils import RandomBatchAugment
from mmpretrain.structures import DataSample

import mlic_mm  # noqa: F401

MIXUP_OR = dict(type='mlic_mm.MixupOR')


def build(*augments, probs=None, **kwargs):
    batch_augments = dict(augments=list(augments), probs=probs) if augments else None
    return MODELS.build(
        dict(type='mlic_mm.MultiLabelDataPreprocessor', num_classes=3, batch_augments=batch_augments) | kwargs
    )


def batch(*scores, labels=None):
    samples = [DataSample().set_gt_score(torch.tensor(score)) for score in scores]
    for sample, label in zip(samples, labels or [], strict=False):
        sample.set_gt_label(label)
    return dict(inputs=torch.randint(256, (len(samples), 3, 8, 8), dtype=torch.uint8), data_samples=samples)


def scores_of(result):
    return torch.stack([sample.gt_score for sample in result['data_samples']])


def test_mixes_in_training_only():
    preprocessor = build(MIXUP_OR)
    plain = scores_of(preprocessor(batch([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]), training=False))
    assert plain.tolist() == [[1, 0, 0], [0, 1, 0]]
    rows = {
        tuple(scores_of(preprocessor(batch([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]), training=True))[0].tolist())
        for _ in range(20)
    }
    assert rows == {(1, 0, 0), (1, 1, 0)}


def test_a_model_without_label_vectors_fails_when_built():
    model = dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mlic_mm.MultiLabelDataPreprocessor'),
        backbone=dict(type='mmpretrain.LeNet5'),
        head=dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=3, in_channels=84),
        train_cfg=dict(augments=MIXUP_OR),
    )
    with pytest.raises(ValueError, match='set num_classes of data_preprocessor'):
        MODELS.build(model)
    model['data_preprocessor'] = dict(type='mlic_mm.MultiLabelDataPreprocessor', num_classes=3)
    assert MODELS.build(model).data_preprocessor.batch_augments is not None


def test_samples_without_labels_fail_in_the_first_batch():
    data = dict(inputs=torch.zeros(2, 3, 2, 2), data_samples=[DataSample(), DataSample()])
    with pytest.raises(ValueError, match='have no label vectors'):
        build(MIXUP_OR)(data, training=True)
    assert build(MIXUP_OR)(data, training=False)['inputs'].shape == (2, 3, 2, 2)


def test_augments_set_later_do_not_pass_labels_by():
    """As mmpretrain's ``SwitchRecipeHook`` sets them, which forgets ``to_onehot``."""
    data = dict(inputs=torch.zeros(2, 3, 2, 2), data_samples=[DataSample().set_gt_label([0]) for _ in range(2)])
    plain, ours = MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', num_classes=3)), build()
    plain.batch_augments = ours.batch_augments = RandomBatchAugment(MIXUP_OR)
    assert 'gt_score' not in plain(data, training=True)['data_samples'][0]  # the silent trap
    with pytest.raises(ValueError, match='to_onehot=True'):
        ours(data, training=True)


def test_label_lists_are_made_vectors():
    samples = [DataSample().set_gt_label([0, 2]), DataSample().set_gt_label([1])]
    data = dict(inputs=torch.zeros(2, 3, 2, 2), data_samples=samples)
    assert {(1, 0, 1), (1, 1, 1)} >= {tuple(scores_of(build(MIXUP_OR)(data, training=True))[0].tolist())}


@pytest.mark.parametrize('augment', [dict(type='Mixup', alpha=1.0), dict(type='CutMix', alpha=1.0)])
def test_blends_with_an_ignored_label_are_ignored(augment, monkeypatch):
    monkeypatch.setattr(torch, 'randperm', lambda n: torch.arange(n - 1, -1, -1))
    monkeypatch.setattr(np.random, 'beta', lambda a, b: 0.25)
    score = scores_of(build(augment)(batch([1.0, -1.0, 1.0], [0.0, 1.0, -1.0]), training=True))
    assert (score[:, 1:] == -1).all()
    assert score[:, 0].sum() == pytest.approx(1)  # the known label is blended: λ and 1 − λ


def test_or_keeps_a_positive_beside_an_ignored_label(monkeypatch):
    monkeypatch.setattr(torch, 'randperm', lambda n: torch.arange(n - 1, -1, -1))
    score = scores_of(build(MIXUP_OR)(batch([1.0, -1.0, 0.0], [-1.0, -1.0, 0.5]), training=True))
    assert score.tolist() == [[1, -1, 0.5]] * 2


def test_not_mixing_leaves_labels_as_they_are():
    preprocessor = build(dict(type='Mixup', alpha=1.0), probs=[0.0])
    score = scores_of(preprocessor(batch([1.0, -1.0, 0.25]), training=True))
    assert score.tolist() == [[1, -1, 0.25]]


def test_without_batch_augments_it_is_mmpretrains():
    preprocessor = build(mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True, num_classes=None)
    plain = MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True))
    data = batch([1.0, 0.0, -1.0])
    assert torch.equal(preprocessor(data, training=True)['inputs'], plain(data, training=True)['inputs'])
