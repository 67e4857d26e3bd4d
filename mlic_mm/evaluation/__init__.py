"""Evaluation as published evaluators do it: pure functions, metrics for mmengine, and scores in files."""

from .functional import (
    PRESETS,
    Protocol,
    auroc,
    average_precision,
    evaluate_scores,
    get_protocol,
    paired_bootstrap,
    tune_threshold,
)
from .metrics import AttentionInconsistency, CorLoc, DumpScores, MLICMetric, shared_protocol
from .scores.member_selection import select_members
from .scores.result_pickle import read_result_pickle
from .scores.score_aligner import ScoreAligner
from .scores.score_dump import ScoreDump
from .scores.score_files import ScoreFiles
from .scores.score_fusion import fuse_scores

__all__ = [
    'PRESETS',
    'AttentionInconsistency',
    'CorLoc',
    'DumpScores',
    'MLICMetric',
    'Protocol',
    'ScoreAligner',
    'ScoreDump',
    'ScoreFiles',
    'auroc',
    'average_precision',
    'evaluate_scores',
    'fuse_scores',
    'get_protocol',
    'paired_bootstrap',
    'read_result_pickle',
    'select_members',
    'shared_protocol',
    'tune_threshold',
]
