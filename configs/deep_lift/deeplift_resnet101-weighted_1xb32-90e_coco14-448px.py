"""Table III: adjacency weighted by the cosine similarity of word vectors."""

_base_ = '../deeplift_coco.py'

model = dict(head=dict(label_graph=dict(layer='weighted')))
