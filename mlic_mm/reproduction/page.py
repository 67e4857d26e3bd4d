"""A page with a paper's table beside our figures, as Markdown and as HTML."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from mlic_mm.evaluation.functional import get_protocol
from mlic_mm.visualization.page import TEMPLATES, template_environment, write_text

from .paper import Paper
from .table import Table
from .table_figures import Figure


@dataclass(frozen=True)
class Outcome:
    """What is known of a row.

    Attributes:
        figures: By heading.
        seeds: Number of seeds.
        reason: Why there are no figures.
    """

    figures: Mapping[str, Figure] = field(default_factory=dict)
    seeds: int = 0
    reason: str = ''


@dataclass(frozen=True)
class Difference:
    """Row ``a`` minus row ``b``, paired by test image."""

    a: str
    b: str
    figures: Mapping[str, Figure]


def cell(published: float | None, ours: Figure | None) -> dict[str, str]:
    """Return the texts of one cell: the paper's figure, ours with its interval, and the difference."""
    difference = ours.mean - published if ours and published is not None else math.nan
    return {
        'published': '–' if published is None else f'{published:.1f}',
        'ours': '' if ours is None else '–' if math.isnan(ours.mean) else f'{ours.mean:.1f}',
        'interval': '' if ours is None or math.isnan(ours.low) else f'[{ours.low:.1f}, {ours.high:.1f}]',
        'difference': '' if math.isnan(difference) else signed(difference),
    }


def signed(value: float) -> str:
    """Return a difference with its sign. A difference that rounds to zero has a plus.

    Example:
        >>> signed(-0.04), signed(-1.26)
        ('+0.0', '−1.3')
    """
    return f'{round(value, 1) + 0.0:+.1f}'.replace('-', '−')


def write_table(
    paper: Paper,
    table: Table,
    outcomes: Mapping[str, Outcome],
    differences: Sequence[Difference],
    folder: Path,
    *,
    warnings: Sequence[str] = (),
) -> tuple[Path, Path]:
    """Write ``table_<name>.md`` and ``.html`` into a folder; earlier ones are replaced.

    Args:
        paper: The paper of the table.
        table: The table. Rows that are not in ``outcomes`` are left out.
        outcomes: What is known of each row, by its name.
        differences: Differences between rows.
        folder: Is made if it is missing.
        warnings: What a reader must know first.

    Returns:
        The two files.
    """
    rows = [row for row in table.rows if row.name in outcomes]
    context = {
        'title': f'Table {table.name}: {table.title}',
        'about': f'{paper.about["authors"]} ({paper.about["year"]}), {paper.about["title"]}',
        'warnings': len(warnings),
        'notes': [
            *warnings,
            'Ours: mean over seeds, 95 % bootstrap interval over test images. '
            f'Protocol: {get_protocol(table.preset).title}.'
            if table.preset
            else 'Ours: mean over seeds.',
        ],
        'headings': list(table.columns),
        'rows': [
            {
                'name': row.name,
                'cited': row.cited,
                'seeds': outcomes[row.name].seeds or '',
                'reason': outcomes[row.name].reason,
                'cells': [
                    cell(row.published.get(head), outcomes[row.name].figures.get(head)) for head in table.columns
                ],
            }
            for row in rows
        ],
        'differences': [
            {
                'name': f'{d.a} − {d.b}',
                'cells': [(signed(f.mean), f'[{signed(f.low)}, {signed(f.high)}]') for f in d.figures.values()],
            }
            for d in differences
        ],
    }
    style = Markup((TEMPLATES / 'report.css').read_text(encoding='utf-8'))
    text, page = (folder / f'table_{table.name}.{kind}' for kind in ('md', 'html'))
    write_text(text, _markdown(context))
    write_text(page, template_environment().get_template('paper_table.html').render(**context, style=style))
    return text, page


def _markdown(context: dict) -> str:
    lines = [f'# {context["title"]}', '', context['about'], '']
    for i, note in enumerate(context['notes']):
        lines += [f'**{note}**' if i < context['warnings'] else note, '']
    lines.append('Each cell: paper → ours [interval] difference.')
    lines += [
        '',
        f'| row | seeds | {" | ".join(context["headings"])} |',
        '|---|---|' + '---|' * len(context['headings']),
    ]
    for row in context['rows']:
        texts = []
        for c in row['cells']:
            ours = f' → **{c["ours"]}** {c["interval"]} {c["difference"]}'.rstrip() if c['ours'] else ''
            texts.append(c['published'] + ours)
        note = row['seeds'] or ('cited' if row['cited'] else row['reason'])
        lines.append(f'| {row["name"]} | {note} | {" | ".join(texts)} |')
    if context['differences']:
        lines += ['', '## Differences of ours, paired by image', '']
        lines += [f'| rows | {" | ".join(context["headings"])} |', '|---|' + '---|' * len(context['headings'])]
        for row in context['differences']:
            lines.append(f'| {row["name"]} | {" | ".join(f"{value} {interval}" for value, interval in row["cells"])} |')
    return '\n'.join(lines) + '\n'
