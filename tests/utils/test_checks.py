import pytest

from mlic_mm.utils.checks import check_same_classes, check_same_names


def test_same_names_pass_whatever_the_sequence():
    check_same_classes(['cat', 'dog'], ('cat', 'dog'), 'data', 'graph')
    check_same_classes([], (), 'data', 'graph')


@pytest.mark.parametrize(
    ('expected', 'found', 'message'),
    [
        (
            ['cat', 'dog'],
            ['cat', 'cow'],
            "index 1: graph g.npz has 'cow' where data set D has 'dog' .use",
        ),
        (['cat', 'dog'], ['dog', 'cat'], "index 0: graph g.npz has 'dog' where .* 'cat' .*another order"),
        (['cat', 'dog'], ['cat'], "1 labels in graph g.npz, but 2 in data set D; graph g.npz ends before 'dog'"),
        (['cat'], ['cat', 'dog'], "2 labels in graph g.npz, but 1 in data set D; data set D ends before 'dog'"),
        (['cat', 'dog'], ['cow'], "1 labels .* first that differs is index 0: 'cow' instead of 'cat'"),
        (['cat'], ['Cat'], "index 0: .* 'Cat' where .* 'cat'"),
    ],
)
def test_first_difference_is_named(expected, found, message):
    with pytest.raises(ValueError, match=message):
        check_same_classes(expected, found, 'data set D', 'graph g.npz')


def test_names_in_any_order():
    check_same_names(['cat', 'dog'], ('dog', 'cat'), 'a', 'b')
    with pytest.raises(ValueError, match="'dog' is only in data set D, graph g holds other names"):
        check_same_names(['cat', 'dog'], ['cat', 'cow'], 'data set D', 'graph g')
    with pytest.raises(ValueError, match="'cow' is only in graph g, data set D holds"):
        check_same_names(['cat'], ['cat', 'cow'], 'data set D', 'graph g')
    with pytest.raises(ValueError, match="'cat' is more often in graph g"):
        check_same_names(['cat'], ['cat', 'cat'], 'data set D', 'graph g')
