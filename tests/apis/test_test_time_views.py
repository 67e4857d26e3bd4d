import pytest

from mlic_mm.apis import view_pipeline

LOAD, RESIZE, PACK = dict(type='mlic_mm.LoadImage'), dict(type='Resize', scale=(448, 448)), dict(type='PackInputs')
MIRRORS = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]


def sized(size: int) -> dict:
    return dict(RESIZE, scale=(size, size))


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(), [LOAD, RESIZE, dict(type='TestTimeAug', transforms=[MIRRORS, [PACK]])]),
        (
            dict(flip=False, sizes=[384, 512]),
            [LOAD, dict(type='TestTimeAug', transforms=[[sized(384), sized(512)], [PACK]])],
        ),
        (
            dict(sizes=[384, 512]),
            [LOAD, dict(type='TestTimeAug', transforms=[[sized(384), sized(512)], MIRRORS, [PACK]])],
        ),
    ],
)
def test_what_views_share_stays_in_front(options, expected):
    given = [LOAD, RESIZE, PACK]
    assert view_pipeline(given, **options) == expected
    assert given == [LOAD, RESIZE, PACK]


@pytest.mark.parametrize(
    ('pipeline', 'options', 'message'),
    [
        ([LOAD, RESIZE], dict(), 'must end in PackInputs, found LoadImage, Resize: set tta_pipeline'),
        ([], dict(), 'found no transform'),
        ([LOAD, PACK], dict(sizes=[384]), 'one Resize and no crop, found LoadImage, PackInputs'),
        ([LOAD, RESIZE, RESIZE, PACK], dict(sizes=[384]), 'one Resize'),
        ([LOAD, RESIZE, dict(type='CenterCrop', crop_size=448), PACK], dict(sizes=[384]), 'no crop'),
        ([LOAD, RESIZE, PACK], dict(flip=False), 'no test-time view'),
    ],
)
def test_pipelines_that_views_cannot_be_made_of(pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        view_pipeline(pipeline, **options)
