"""One form of message for wrong options."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlic_mm.utils.choices import check_choice, check_range, did_you_mean


def test_capitals_make_no_difference():
    assert did_you_mean('MEAN', ['mean', 'max']) == "; did you mean 'mean'?"


def test_long_lists_are_cut():
    names = [f'label {i}' for i in range(25)]
    assert did_you_mean('x', names, listed=2) == '; choose from label 0, label 1 and 23 more'
    assert did_you_mean('x', [], listed=2) == did_you_mean('x', ['label'], listed=0) == ''


@pytest.mark.parametrize('value', ['meen', True, 1.0, None, ['mean']])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match=r'^fusion=.* must be one of mean, 1'):
        check_choice('fusion', value, ('mean', 1))


@pytest.mark.parametrize('value', [0, 1.5, True, None, '1', math.nan, math.inf, [1], np.float32(0)])
def test_what_lies_outside_is_refused(value):
    with pytest.raises((ValueError, TypeError), match=r'^rate=.* must be a number above 0 and at most 1$'):
        check_range('rate', value, above=0, at_most=1)


@given(st.floats(-3, 3))
def test_the_range_is_what_is_said(value):
    try:
        check_range('x', value, at_least=-1, below=2)
        passed = True
    except ValueError:
        passed = False
    assert passed == (-1 <= value < 2)


def test_whole_numbers():
    check_range('size', np.int64(3), at_least=1, whole=True)
    with pytest.raises(TypeError, match=r'^size=3.0 must be a whole number at least 1$'):
        check_range('size', 3.0, at_least=1, whole=True)
