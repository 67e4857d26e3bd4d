"""From word vectors and edges to label embeddings."""

from .label_graph import LabelGraph

__all__ = ['LabelGraph']
