"""Compare two models by their scores."""

from collections.abc import Sequence
from pathlib import Path

from mlic_mm.evaluation import Protocol, ScoreAligner, ScoreDump, get_protocol, paired_bootstrap
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.file_name import check_ending
from mlic_mm.visualization.class_gains import class_gains, plot_class_gains
from mlic_mm.visualization.plots import PLOTS

__all__ = ['compare_scores']


def compare_scores(
    a: Sequence[str | Path],
    b: Sequence[str | Path],
    *,
    protocol: str | Protocol = 'mlgcn',
    figures: Sequence[str] = ('mAP', 'CF1', 'OF1'),
    resamples: int = 1000,
    plot: str | Path | None = None,
    force: bool = False,
) -> str:
    """Compare two models by their scores, with a paired bootstrap interval over images.

    Images are matched by their ids, classes by their names.

    Args:
        a: Score files of the first model, one for each of its runs.
        b: Score files of the second model.
        protocol: A preset or a whole evaluation protocol.
        figures: Figures to compare.
        resamples: Resamples of the bootstrap.
        plot: Plot to this file what b gains over a for each label.
        force: Replace an existing plot.

    Returns:
        The comparison as text.

    Raises:
        FileNotFoundError: A file is missing.
        FileExistsError: ``plot`` exists, and ``force`` is false.
        ValueError: An option is invalid, or files differ in images or classes.

    Example:
        >>> print(compare_scores(['plain.npz'], ['distilled.npz']))  # doctest: +SKIP
        4952 images, preset mlgcn, 1 and 1 runs
        …
    """
    if plot:
        check_ending('plot', plot, PLOTS)
        check_can_write(plot, force)
    a, b = ([files] if isinstance(files, str | Path) else files for files in (a, b))
    if not a or not b:
        raise ValueError('a and b must each name at least one score file')
    protocol = get_protocol(protocol)
    aligner = ScoreAligner(ScoreDump.load(a[0]), str(a[0]))
    first = aligner.reference
    runs = {path: aligner.align(ScoreDump.load(path), str(path)) for path in [*a, *b]}
    runs_a, runs_b = ([runs[path] for path in paths] for paths in (a, b))
    result = paired_bootstrap(runs_a, runs_b, first.targets, figures, protocol, resamples)
    if plot:
        gains = class_gains(runs_a, runs_b, first.targets, first.classes, protocol, resamples)
        plot_class_gains(gains, Path(plot), 'AP of b − AP of a, points')
    lines = [f'{len(first.targets)} images, preset {protocol.title}, {len(a)} and {len(b)} runs']
    lines.append(f'{"":10}{"a":>8}{"b":>8}{"b − a":>8}  95 % interval over images')
    for name, row in result.items():
        lines.append(f'{name:10}{row.a:8.2f}{row.b:8.2f}{row.difference:+8.2f}  [{row.low:+.2f}, {row.high:+.2f}]')
    return '\n'.join([*lines, *([f'plot: {plot}'] if plot else [])])
