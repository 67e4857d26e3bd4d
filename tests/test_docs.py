"""Links, anchors, files and commands in the documentation exist."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PAGES = [
    REPO / 'README.md',
    REPO / 'CONTRIBUTING.md',
    *sorted((REPO / 'docs').glob('*.md')),
    *sorted((REPO / 'configs').glob('*/README.md')),
]


def names(path: Path) -> str:
    return str(path.relative_to(REPO))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r'^#+ (.*)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_links(page: Path) -> None:
    for link in re.findall(r'\]\(([^)\s]+)\)', page.read_text(encoding='utf-8')):
        file, _, anchor = link.partition('#')
        if '://' in link:
            continue
        target = page if not file else (page.parent / file).resolve()
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', PAGES, ids=names)
def test_files(page: Path) -> None:
    """Paths of the repository that a page names exist; a bare name stands beside the path before it."""
    text = page.read_text(encoding='utf-8')
    for path in re.findall(r'(?<![\w/])((?:mlic_mm|tools|tests|benchmarks|requirements|configs)/[\w./-]*\w)', text):
        if (REPO / path).exists() or '{' in text[text.index(path) + len(path) :][:1]:
            continue
        assert list(REPO.glob(f'{path}*')), path
