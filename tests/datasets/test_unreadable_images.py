"""The policy for images that cannot be read: fail, or leave out exactly those, in training, testing and workers."""

import logging
from pathlib import Path

import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image

from mlic_mm.datasets import CSVMultiLabel
from mlic_mm.datasets.transforms import BadImageError

PACK = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))


def write(folder: Path, bad: dict[int, bytes | None], count: int = 10) -> Path:
    """Images of gray value i and their CSV; ``bad`` maps numbers to other bytes, or None for no file."""
    lines = []
    for i in range(count):
        path = folder / f'{i}.png'
        if i not in bad:
            Image.new('RGB', (8, 8), (i, i, i)).save(path)
        elif bad[i] is not None:
            path.write_bytes(bad[i])
        lines.append(f'{i}.png,{"even" if i % 2 == 0 else "odd"}')
    (folder / 'labels.csv').write_text('\n'.join(lines))
    return folder


def dataset(folder: Path, **options: object) -> dict:
    load = dict(type='mlic_mm.LoadImage', **{k: options.pop(k) for k in ('on_error', 'cache_mb') if k in options})
    return dict(
        type='mlic_mm.CSVMultiLabel',
        ann_file='labels.csv',
        data_root=str(folder),
        metainfo=dict(classes=['even', 'odd']),
        pipeline=[load, PACK],
        **options,
    )


def build(folder: Path, **options: object) -> CSVMultiLabel:
    config = dataset(folder, **options)
    del config['type']
    return CSVMultiLabel(**config)


@pytest.mark.integration
@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('num_workers', [0, 2])
def test_skip_leaves_out_exactly_the_bad_ones(tmp_path: Path, test_mode: bool, num_workers: int) -> None:
    write(tmp_path, {2: b'', 5: b'no image', 7: None})
    loader = Runner.build_dataloader(
        dict(
            batch_size=3,
            num_workers=num_workers,
            sampler=dict(type='DefaultSampler', shuffle=not test_mode),
            dataset=dataset(tmp_path, on_error='skip', test_mode=test_mode),
        ),
        seed=0,
    )
    for _ in range(2):
        seen = []
        for batch in loader:
            for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
                number = int(Path(sample.img_path).stem)
                assert image.unique().tolist() == [number]
                assert sample.gt_label.tolist() == [number % 2]
                seen.append(number)
        assert sorted(seen) == [0, 1, 3, 4, 6, 8, 9]
    assert {Path(path).name for path in loader.dataset.skipped} == {'2.png', '5.png', '7.png'}
    report = loader.dataset.skip_report()
    assert '3 unreadable images left out' in report
    for name, reason in (('2.png', 'empty'), ('5.png', 'not an image'), ('7.png', 'not found')):
        assert any(name in line and reason in line for line in report.splitlines())


@pytest.mark.parametrize('test_mode', [False, True])
def test_raise_names_the_file(tmp_path: Path, test_mode: bool) -> None:
    built = build(write(tmp_path, {4: b'oops'}), test_mode=test_mode)
    assert len(built) == 10
    with pytest.raises(BadImageError, match=r'4\.png: not an image.*skip'):
        built[4]


def test_raise_with_a_cache_fails_before_the_first_batch(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=r'4\.png'):
        build(write(tmp_path, {4: b'oops'}), cache_mb=1)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'none of the 10 images can be read; the first: .*0\.png'):
        build(write(tmp_path, dict.fromkeys(range(10))), on_error='skip')


def test_complete_data_skip_nothing(tmp_path: Path) -> None:
    built = build(write(tmp_path, {}), on_error='skip')
    assert len(built) == 10
    assert built.skipped == {}


def test_cache_is_filled_when_built(tmp_path: Path) -> None:
    built = build(write(tmp_path, {3: b''}), on_error='skip', cache_mb=1)
    for path in tmp_path.glob('*.png'):
        path.unlink()
    assert [int(built[i]['inputs'][0, 0, 0]) for i in range(9)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_long_report_is_cut(tmp_path: Path) -> None:
    built = build(write(tmp_path, dict.fromkeys(range(14), b''), count=16), on_error='skip')
    assert built.skip_report().splitlines()[-1].strip() == '… and 4 more'


@pytest.mark.integration
def test_a_whole_run_reports_at_the_end_and_leaves_them_out_of_the_metric(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    write(images, {2: b'', 6: b'\xff\xd8\xff'}, count=9)
    loader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset(images, on_error='skip', test_mode=True),
    )
    runner = Runner(
        model=dict(
            type='ImageClassifier',
            data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3),
            backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='MultiLabelLinearClsHead', num_classes=2, in_channels=32),
        ),
        work_dir=str(tmp_path / 'work'),
        test_dataloader=loader,
        test_evaluator=[
            dict(type='mlic_mm.MLICMetric'),
            dict(type='mlic_mm.DumpScores', out_file=str(tmp_path / 'scores.npz')),
        ],
        test_cfg=dict(),
        custom_hooks=[dict(type='mlic_mm.CorruptImageHook')],
        default_scope='mmpretrain',
        default_hooks=dict(checkpoint=None),
    )
    with caplog.at_level(logging.WARNING):
        runner.test()
    ids = np.load(tmp_path / 'scores.npz')['image_ids']
    assert sorted(ids) == [f'{i}.png' for i in (0, 1, 3, 4, 5, 7, 8)]
    log = next((tmp_path / 'work').rglob('*.log')).read_text()
    end = log[log.index('Epoch(test)') :]
    assert '2 unreadable images left out' in end
    assert '2.png: the file is empty' in end
