"""The evaluate room: what labels say of answers. Arrays and tables in, rates with their counts out.

`evaluate_spans` holds spans against a truth, `evaluate_pairs` scores against labelled pairs,
`evaluate_clusters` people against who they are.
"""

from facelake.evaluate.agreement import Agreement, agree, intervals_of
from facelake.evaluate.clusters import ClusterErrors, evaluate_clusters
from facelake.evaluate.names import VideoName, pair_videos, plain_key
from facelake.evaluate.pairs import THRESHOLDS, PairErrors, evaluate_pairs
from facelake.evaluate.pairs_files import read_pairs
from facelake.evaluate.spans import COLLAR_S, MIN_IOU, SpanEvaluation, evaluate_spans
from facelake.evaluate.truth import (
    WANTED,
    Appearance,
    Truth,
    of_people,
    read_spans,
    read_truth,
    spans_from_table,
    truth_from_table,
)

__all__ = [
    "COLLAR_S",
    "MIN_IOU",
    "THRESHOLDS",
    "WANTED",
    "Agreement",
    "Appearance",
    "ClusterErrors",
    "PairErrors",
    "SpanEvaluation",
    "Truth",
    "VideoName",
    "agree",
    "evaluate_clusters",
    "evaluate_pairs",
    "evaluate_spans",
    "intervals_of",
    "of_people",
    "pair_videos",
    "plain_key",
    "read_pairs",
    "read_spans",
    "read_truth",
    "spans_from_table",
    "truth_from_table",
]
