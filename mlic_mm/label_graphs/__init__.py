"""Label graphs on disk: statistics of a training set, their file format, and word vectors of the labels."""

from .data import LabelGraphData
from .embeddings import label_embeddings

__all__ = ['LabelGraphData', 'label_embeddings']
