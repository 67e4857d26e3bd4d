import numpy as np
import pytest

from mlic_mm.cli.explain import explain
from mlic_mm.utils.plain_text import check_text, plain_text


@pytest.mark.parametrize(
    ('name', 'shown'),
    [
        ('Gürtel 腰帯 😀 \\x1b', 'Gürtel 腰帯 😀 \\x1b'),
        ('\x1b[2J\x00\x07', '\\x1b[2J\\x00\\x07'),
        ('a\nb\r', 'a\\nb\\r'),
        ('half\ud800 \x9b31m', 'half\\ud800 \\x9b31m'),
        ('\u202egpj', '\\u202egpj'),  # which would turn the rest of the line round
        (7, '7'),
    ],
)
def test_what_cannot_be_printed_is_escaped(name: object, shown: str) -> None:
    assert plain_text(name) == shown
    assert plain_text(plain_text(name)) == shown


def test_errors_are_printed_without_control_characters() -> None:
    assert explain(ValueError('no image \x1b]0;owned\x07.jpg\nfor it')) == r'no image \x1b]0;owned\x07.jpg; for it'


@pytest.mark.parametrize('order', '<>')
def test_characters_that_there_are_not(order: str) -> None:
    codes = np.array([[0x10FFFF, 0], [0x110000, 65]], f'{order}u4')
    text = codes.view(f'{order}U2')
    check_text(text[:1], 'classes')
    check_text(np.zeros((0, 3), 'U4'), 'classes')
    with pytest.raises(ValueError, match=r'^classes holds text with the character number 1114112'):
        check_text(text[::-1], 'classes')
