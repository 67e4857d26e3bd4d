"""Fuse the scores of several models, and print what the fusion gains over each of them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlic_mm.evaluation import Protocol, ScoreDump, ScoreFiles, average_precision, get_protocol, select_members
from mlic_mm.evaluation.functional.figures import mean_of_known
from mlic_mm.evaluation.scores.image_names import different_files
from mlic_mm.evaluation.scores.score_dump import check_npz_name
from mlic_mm.evaluation.scores.score_fusion import MODES, accumulate, additive, check_scores, check_weights, finish
from mlic_mm.utils.atomic_write import check_can_write
from mlic_mm.utils.checks import check_same_names
from mlic_mm.utils.choices import check_choice
from mlic_mm.utils.file_name import check_ending
from mlic_mm.utils.name_list import read_names
from mlic_mm.utils.plain_text import plain_text
from mlic_mm.visualization.plots import PLOTS

from .fusion_gain import check_resamples, print_gain

__all__ = ['fuse_score_files']

PICKLES = ('.pkl', '.pickle')


def fuse_score_files(
    dumps: Sequence[str | Path],
    *,
    mode: str = 'mean',
    weights: Sequence[float] | None = None,
    tune: Sequence[str | Path] | None = None,
    classes: str | Path | None = None,
    out: str | Path | None = None,
    plot: str | Path | None = None,
    force: bool = False,
    protocol: str | Protocol = 'mlgcn',
    figures: Sequence[str] | None = None,
    resamples: int | None = None,
) -> ScoreDump:
    """Fuse the scores of several models, and print each model beside the fusion.

    Images are matched by their ids, classes by their names.

    Args:
        dumps: Score files of ``tools/test.py --out``, or result pickles of mmengine. No code in pickles is executed.
        mode: ``mean`` of scores, of ranks (``rank``), or ``geometric`` mean.
        weights: One for each file. Only their ratios count.
        tune: Find the weights on these held-out files, one for each model in the same order.
        classes: File with class names for pickles, one a line or JSON.
        out: Write the fused scores to this .npz file.
        plot: Plot the gain of each class to this file.
        force: Replace existing files.
        protocol: A preset or a whole evaluation protocol.
        figures: What to print. Defaults to mAP, CF1 and OF1; of ranks, which have no threshold, to mAP.
        resamples: Resamples of the bootstrap, 0 for none. Defaults to 1000, and to fewer for large data.

    Returns:
        The fused scores.

    Raises:
        FileNotFoundError: A file is missing.
        FileExistsError: ``out`` or ``plot`` exists, and ``force`` is false.
        ValueError: An option is invalid; files differ in images or classes; scores cannot be fused; or the images of
            ``tune`` are not held out.

    Example:
        >>> fused = fuse_score_files(['a.npz', 'b.npz'], weights=[2, 1], resamples=0)  # doctest: +SKIP
    """
    paths = [str(path) for path in ([dumps] if isinstance(dumps, str | Path) else dumps)]
    _check_options(paths, mode, tune, classes, plot)
    check_resamples(resamples)
    if out:
        check_npz_name(out)
    for file in (out, plot):
        if file:
            check_can_write(file, force)
    if weights is not None:
        check_weights(weights, len(paths))
    protocol = get_protocol(protocol)
    figures = figures or (['mAP'] if mode == 'rank' else ['mAP', 'CF1', 'OF1'])
    start = time.perf_counter()
    members = ScoreFiles(paths, read_names(classes) if classes else None)
    if tune:
        weights = _tuned([str(path) for path in tune], members, mode, protocol)
    middle = time.perf_counter()
    total = accumulate(_parts(members, mode), weights)
    fused = replace(members.reference, scores=finish(total, mode))
    end = time.perf_counter()
    if tune:
        print(f'weights tuned in {middle - start:.1f} s')
        start = middle
    num_images, num_classes = fused.scores.shape
    print(f'{len(members)} dumps of {num_images} × {num_classes} read and fused ({mode}) in {end - start:.2f} s')
    if out:
        print(f'fused scores: {fused.save(out)}')
    shares = np.full(len(members), 1 / len(members)) if weights is None else check_weights(weights, len(members))
    print_gain(members, shares, fused.scores, protocol, figures, resamples, Path(plot) if plot else None)
    return fused


def _check_options(
    dumps: Sequence[str], mode: str, tune: Sequence[object] | None, classes: object, plot: str | Path | None
) -> None:
    check_choice('mode', mode, MODES)
    if classes and not any(str(path).endswith(PICKLES) for path in [*dumps, *(tune or [])]):
        raise ValueError('--classes names the classes of pickles, and none is given')
    if plot:
        check_ending('plot', plot, PLOTS)
    if tune and len(tune) != len(dumps):
        raise ValueError(f'--tune needs one held-out dump per model: {len(tune)} for {len(dumps)}')


def _parts(members: ScoreFiles, mode: str) -> Iterator[np.ndarray]:
    """Yield what is averaged, member by member.

    Raises:
        ValueError: Scores that cannot be fused: not finite, or probabilities together with logits.
    """
    reference = members.reference
    probabilities: dict[bool, str] = {}

    def prepare(scores: np.ndarray, path: str) -> np.ndarray:
        check_scores(scores, mode, path, reference.image_ids, reference.classes)
        probabilities.setdefault(bool(scores.min() >= 0 and scores.max() <= 1), path)
        if mode == 'mean' and len(probabilities) == 2:
            raise ValueError(
                f'{probabilities[True]} holds probabilities and {probabilities[False]} scores outside [0, 1], such as '
                'logits, which would drown them: dump probabilities, or take --mode rank'
            )
        return additive(scores, mode)

    return members.read(prepare)


def _tuned(paths: Sequence[str], members: ScoreFiles, mode: str, protocol: Protocol) -> list[float]:
    """Return the weights that are best on held-out images."""
    held_out = ScoreFiles(paths, members.classes or members.reference.classes)
    val, test = held_out.reference, members.reference
    check_same_names(test.classes, val.classes, members.paths[0], paths[0])
    _check_held_out(val, test, paths[0], members.paths[0])

    def figure(total: np.ndarray) -> float:
        scores = finish(total, mode)  # as the fusion will be
        return 100 * float(mean_of_known(average_precision(scores, val.targets, protocol.ap, protocol.ties)))

    found = select_members(lambda: _parts(held_out, mode), figure)
    print(
        f'held-out mAP on {len(val.targets)} images: best single model {found.best_single:.2f}, equal weights '
        f'{found.equal:.2f}, tuned {found.tuned:.2f}'
    )
    print('--weights ' + ' '.join(f'{weight:.6g}' for weight in found.weights))
    return found.weights.tolist()


def _check_held_out(val: ScoreDump, test: ScoreDump, val_path: str, test_path: str) -> None:
    """Refuse images of ``val`` that are in ``test`` as well. The same id with another path is another image."""
    names, rows, other = np.intersect1d(test.image_ids, val.image_ids, return_indices=True)
    paths = zip(test.image_paths[rows].tolist(), val.image_paths[other].tolist(), strict=True)
    apart = np.array([different_files(*both) for both in paths], bool)
    if apart.any():
        first = int(apart.argmax())
        print(
            f'note: {apart.sum()} ids, such as {plain_text(names[first])}, are in {test_path} and in {val_path} with '
            f'other paths ({plain_text(test.image_paths[rows[first]])}, {plain_text(val.image_paths[other[first]])}): '
            'taken for other images'
        )
    shared = names[~apart]
    if len(shared):
        raise ValueError(
            f'{val_path} is not held out: {len(shared)} of its images, such as {plain_text(shared[0])}, are in '
            f'{test_path} as well; tune on other images than those that the figures are reported on'
        )
