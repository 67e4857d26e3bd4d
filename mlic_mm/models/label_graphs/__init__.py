from .label_graph import LabelGraph

__all__ = ['LabelGraph']
