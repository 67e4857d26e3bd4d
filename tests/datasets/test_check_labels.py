"""Data sets from which nothing can be learnt or measured are refused, others looked at no longer than needed."""

from pathlib import Path

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset

from mlic_mm.datasets import CSVMultiLabel
from mlic_mm.datasets.check_labels import check_training_labels, check_validation_labels
from mlic_mm.utils.targets import target_rows


def build(folder: Path, rows: str, **options: object) -> CSVMultiLabel:
    lines = [f'{i}.jpg,{row}' for i, row in enumerate(rows.split())]
    (folder / 'labels.csv').write_text('\n'.join(['path,cat,dog', *lines]))
    return CSVMultiLabel('labels.csv', data_root=str(folder), **options)


def relaxed(folder: Path, rows: str) -> CSVMultiLabel:
    """A data set that did not check itself."""
    dataset = build(folder, rows, minus_one='ignored')
    dataset.minus_one = None
    return dataset


@pytest.mark.parametrize(
    ('rows', 'training', 'validation'),
    [
        ('1,0 0,1', '', ''),
        ('1,1 1,1', '', ''),  # odd, but nothing is ignored
        ('1,-1 0,1 1,-1', "label 'dog' is -1 .* in all 3 images and never 0", ''),
        ('1,-1 -1,1', "label 'cat' is -1 .*minus_one='absent'.*metainfo", "label 'cat' is -1"),
        ('0,0 0,-1', 'none of the 2 images has a label .*give it labels$', 'none of the 2 images.*val_evaluator=None'),
    ],
)
def test_what_is_refused(tmp_path: Path, rows: str, training: str, validation: str) -> None:
    plain = relaxed(tmp_path, rows)
    for dataset in (plain, RepeatDataset(plain, 2), ConcatDataset([plain])):
        for check, message in ((check_training_labels, training), (check_validation_labels, validation)):
            if not message:
                check(dataset)
                continue
            with pytest.raises(ValueError, match=message.replace('all 3', r'all \d').replace('the 2', r'the \d')):
                check(dataset)


@pytest.mark.parametrize('serialize', [True, False])
def test_an_empty_data_set_is_called_so(tmp_path: Path, serialize: bool) -> None:
    options = dict(indices=0, serialize_data=serialize)
    for use in (CSVMultiLabel.targets, target_rows, check_training_labels, check_validation_labels):
        with pytest.raises(ValueError, match='CSVMultiLabel is empty: it has no image; check'):
            use(build(tmp_path, '1,0 0,1', **options))


def test_what_was_said_counts(tmp_path: Path) -> None:
    dataset = build(tmp_path, '1,-1 0,1', minus_one='ignored')
    check_training_labels(dataset)
    check_training_labels(RepeatDataset(dataset, 2))


def test_stops_where_nothing_can_be_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build(tmp_path, '1,0 0,1 ' + '1,1 ' * 50)
    asked: list[int] = []
    read = dataset.get_data_info
    monkeypatch.setattr(dataset, 'get_data_info', lambda index: asked.append(index) or read(index))
    check_training_labels(dataset)
    assert asked == [0, 1]
