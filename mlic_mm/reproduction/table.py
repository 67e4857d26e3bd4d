"""A table of a paper."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlic_mm.utils.choices import did_you_mean

from .row import Row

__all__ = ['Table']


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper.

    Args:
        name: As printed: ``'2'``, ``'IV'``.
        title: What it compares, in our words.
        columns: Heading to a figure of :func:`mlic_mm.evaluation.evaluate_scores`, or ``AP/<class>``.
        preset: Evaluation protocol. None: the columns are what other metrics of the test measure, named
            by a shell pattern, such as ``inconsistency_scale_*``.
        rows: In the order of the paper.
        compare: Pairs of this table's rows whose difference is of interest.
    """

    name: str
    title: str
    columns: Mapping[str, str]
    preset: str | None
    rows: Sequence[Row]
    compare: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f'table {self.name}: row {sorted(twice)[0]!r} is there twice')
        for row in self.rows:
            odd = set(row.published) - set(self.columns)
            if odd:
                raise ValueError(f'table {self.name}, row {row.name!r}: no column {sorted(odd)[0]!r}')
        for name in {name for pair in self.compare for name in pair} - set(names):
            raise ValueError(f'table {self.name} compares row {name!r}, which it does not have')

    def select(self, patterns: Iterable[str]) -> list[Row]:
        """Rows whose names match any of the shell patterns, in the order of the table.

        Raises:
            ValueError: A pattern matches no row; names the nearest.
        """
        names = [row.name for row in self.rows]
        chosen: set[str] = set()
        for pattern in patterns:
            found = {name for name in names if fnmatchcase(name, pattern)}
            if not found:
                raise ValueError(f'table {self.name} has no row {pattern!r}{did_you_mean(pattern, names, 1, listed=6)}')
            chosen |= found
        return [row for row in self.rows if row.name in chosen]
