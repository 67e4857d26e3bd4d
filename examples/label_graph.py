"""The label graph from Python alone: no config, no registry, no runner.

python examples/label_graph.py
"""

import numpy as np
import torch

from mlic_mm.label_graphs.data import LabelGraphData
from mlic_mm.models import LabelGraph

# Four images, three labels. P(sofa | cat) = 1, P(cat | sofa) = 2/3, P(sofa | dog) = 1/2.
targets = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 1], [0, 1, 0]])
data = LabelGraphData.from_targets(targets, ['cat', 'dog', 'sofa'], threshold=0.6)

word_vectors = torch.randn(3, 50)
graph = LabelGraph(data, word_vectors, layer='attention', hidden_channels=(64,), out_channels=32)
embeddings = graph()  # (3, 32), differentiable

features = torch.randn(8, 32)  # of eight images
scores = features @ embeddings.T  # (8, 3)
scores.sum().backward()

for row, col in graph.edges.T.tolist():
    print(f'{data.classes[row]} attends to {data.classes[col]}')
print(f'embeddings {tuple(embeddings.shape)}, scores {tuple(scores.shape)}')
