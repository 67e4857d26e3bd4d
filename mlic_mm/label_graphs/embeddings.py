"""Label embeddings: the mean of the word vectors of a label (Deep-LIFT, section IV)."""

import logging
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from mmengine.logging import print_log

from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.plain_text import plain_text

from .word_vectors import WordVectors, open_word_vectors

# VOC writes these two words as one, and word vectors know only the parts.
JOINED_WORDS = {'diningtable': 'dining table', 'pottedplant': 'potted plant', 'tvmonitor': 'tv monitor'}


def label_embeddings(
    classes: Sequence[str],
    source: str | Path,
    *,
    on_missing: Literal['error', 'random'] = 'error',
    aliases: Mapping[str, str] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return one vector per label.

    A label is looked up as it is, then in lower case, then word by word; the vectors of the words are averaged. Words
    end at spaces, underscores and signs such as ``/`` or ``(``. A word that is found neither as it is nor in lower
    case is split further, in this order: joined VOC names by :data:`JOINED_WORDS`, at hyphens, and where the case
    changes or digits begin (``ShortSleeve``, ``AgeOver60``). All parts of a split word must be found.

    Args:
        classes: C label names.
        source: File or package of vectors; see :func:`open_word_vectors`.
        on_missing: What to do about an unknown word. ``'random'`` gives it a normal vector on the scale of the found
            ones, the same in every run and for every order of the labels, and logs it.
        aliases: Words to look up in place of a label: ``{'tee': 't-shirt'}``.
        seed: Seed of the random vectors.

    Returns:
        float32 ``(C, d)``.

    Raises:
        FileNotFoundError: The file does not exist.
        ModuleNotFoundError: The GloVe package is asked for, but is not installed.
        ValueError: A word is unknown; the message names the label, the word, the file and the nearest spellings. Or
            the file is damaged, an alias belongs to no label, or ``on_missing`` is unknown.
    """
    check_choice('on_missing', on_missing, ('error', 'random'))
    aliases = dict(aliases or {})
    strangers = [name for name in aliases if name not in classes]
    if strangers:
        raise ValueError(f'alias for {strangers[0]!r}, which is none of the {len(classes)} labels')
    vectors = open_word_vectors(source)
    phrases = [aliases.get(name, name) for name in classes]
    # One pass over the file finds every spelling that may be needed.
    found = vectors.find({spelling for phrase in phrases for spelling in _spellings(phrase)})

    rows: list[list[str]] = [_resolve(phrase, found) for phrase in phrases]
    missing = [(name, word) for name, words in zip(classes, rows, strict=True) for word in words if word not in found]
    if missing and (on_missing == 'error' or not found):
        raise ValueError(_missing_message(missing, vectors, any_found=bool(found)))
    if missing:
        listed = ', '.join(f'{word!r} ({plain_text(name)})' for name, word in missing)
        print_log(f'random vectors stand for words that {vectors.name} lacks: {listed}', 'current', logging.WARNING)
        scale = np.std(np.stack(list(found.values())))
        dim = len(next(iter(found.values())))
        for _, word in missing:
            generator = np.random.default_rng([seed, zlib.crc32(word.encode())])
            found[word] = generator.normal(0, scale, dim).astype(np.float32)
    return np.stack([np.mean([found[word] for word in words], axis=0, dtype=np.float64) for words in rows]).astype(
        np.float32
    )


def _words(label: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:[-'’.][^\W_]+)*", label) or [label]


def _parts(word: str) -> Iterator[list[str]]:
    """Yield the ways to split a word, the best first."""
    if word.lower() in JOINED_WORDS:
        yield JOINED_WORDS[word.lower()].split()
    hyphen_free = re.findall(r'[^\W_]+', word)
    if len(hyphen_free) > 1:
        yield hyphen_free
    case_free = re.findall(r'[^\W_]+', _spaced(word))
    if len(case_free) > len(hyphen_free):
        yield case_free


def _spaced(word: str) -> str:
    """Put a space where a part of the word begins: ``'AgeOver60'`` → ``'Age Over 60'``, ``'TVSet'`` → ``'TV Set'``."""
    text = word[0]
    for before, char, after in zip(word, word[1:], word[2:] + ' ', strict=False):
        new_case = char.isupper() and (before.islower() or (before.isupper() and after.islower()))
        text += (' ' if new_case or char.isdigit() != before.isdigit() else '') + char
    return text


def _cases(word: str) -> tuple[str, str]:
    return word, word.lower()


def _spellings(label: str) -> Iterator[str]:
    """Yield everything that :func:`_resolve` may look up."""
    yield from _cases(label)
    for word in _words(label):
        yield from _cases(word)
        for parts in _parts(word):
            for part in parts:
                yield from _cases(part)


def _resolve(label: str, found: Mapping[str, np.ndarray]) -> list[str]:
    """Return the words of ``label`` in the spelling that was found. A word that was not found stays as it is."""
    whole = _known(label, found)
    if whole is not None:
        return [whole]
    resolved: list[str] = []
    for word in _words(label):
        known = _known(word, found)
        if known is not None:
            resolved.append(known)
            continue
        for parts in _parts(word):
            spelt = [_known(part, found) for part in parts]
            if None not in spelt:
                resolved.extend(part for part in spelt if part is not None)
                break
        else:
            resolved.append(word)
    return resolved


def _known(word: str, found: Mapping[str, np.ndarray]) -> str | None:
    return next((spelling for spelling in _cases(word) if spelling in found), None)


def _missing_message(missing: list[tuple[str, str]], vectors: WordVectors, any_found: bool) -> str:
    label, word = missing[0]
    message = f'word {word!r} of label {label!r} is not in {vectors.name}'
    near = vectors.nearest(word)
    if near:
        message += f' (nearest: {", ".join(map(plain_text, near))})'
    if len(missing) > 1:
        message += f', nor are {len(missing) - 1} more: {", ".join(repr(word) for _, word in missing[1:6])}'
        message += ', …' if len(missing) > 6 else ''
    if not any_found:
        return f'{message}; it knows none of the labels: is it a file of word vectors for their language?'
    return (
        f"{message}; give an alias in words it knows (aliases={{{label!r}: '…'}}, or --alias on the command line), use "
        "other vectors, or opt in to random vectors with on_missing='random'"
    )
