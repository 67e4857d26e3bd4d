"""Head, loss and metrics in a plain PyTorch loop: no config, no registry, no runner.

python examples/plain_pytorch.py
"""

import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from mlic_mm.evaluation import evaluate_scores
from mlic_mm.label_graphs import LabelGraphData
from mlic_mm.models import DeepLIFTHead, LabelGraph, WeightedBCELoss

torch.manual_seed(0)
classes = ['red', 'green', 'blue']

# 128 noisy images. Each label is present (1), absent (0) or unknown (−1); a present label makes a bright corner.
present = (torch.rand(128, 3) < 0.4).float()
images = torch.randn(128, 3, 64, 64)
images[:, :, :32, :32] += 3 * present[:, :, None, None]
targets = present.masked_fill(torch.rand(128, 3) < 0.1, -1)
train, test = TensorDataset(images[:96], targets[:96]), TensorDataset(images[96:], present[96:])

# Any backbone that gives a map (N, D, h, w). For real photographs: resnet18(weights='DEFAULT').
backbone = torch.nn.Sequential(*list(resnet18().children())[:-2])  # (N, 512, h, w)

graph = LabelGraphData.from_targets(targets[:96].numpy(), classes)
head = DeepLIFTHead(
    num_classes=3,
    in_channels=512,
    label_graph=LabelGraph(graph, torch.eye(3), hidden_channels=(64,), out_channels=512),
)
known = targets[:96] >= 0
loss_function = WeightedBCELoss(positive_ratio=(targets[:96] == 1).sum(0) / known.sum(0))
model = torch.nn.ModuleDict(dict(backbone=backbone, head=head))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

for _ in range(4):
    model.train()
    for batch, target in DataLoader(train, batch_size=16, shuffle=True):
        logits = head(backbone(batch))
        loss = loss_function(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model.eval()
with torch.no_grad():
    scores = torch.cat([head(backbone(batch)).sigmoid() for batch, _ in DataLoader(test, batch_size=16)])
figures = evaluate_scores(scores, test.tensors[1], classes=classes)
print(f'loss {loss:.2f}, mAP {figures["mAP"]:.1f}, OF1 {figures["OF1"]:.1f}')
