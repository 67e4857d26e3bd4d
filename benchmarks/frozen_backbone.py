"""Compare heads on the feature maps of a frozen backbone. Images pass it once, and heads train in seconds.

    VOC_ROOT=… python benchmarks/frozen_backbone.py --out work_dirs/frozen

1. The maps of the config's training and test images, and of mirror images for training, are computed once and stored
   in ``--out`` (float16, about 125 kB for an image of 224 pixels).
2. Each head is tuned on the last fifth of the shuffled training images, with the same grid of learning rates and epochs
   for all heads. The test images are not used.
3. Each head is trained on all training images with its best setting, once for each seed, and scores the test images.
   ``tools/compare_scores.py`` can compare the dumps.

Results are printed and appended to ``results.jsonl``. A run whose result is in that file is not repeated.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from measure import timed
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mlic_mm.evaluation import ScoreDump, evaluate_scores
from mlic_mm.models import multi_label_bce
from mlic_mm.utils.targets import target_rows

CONFIG = 'configs/deep_lift/deeplift_efficientnet-lite0-agcn_frozen_voc07mini-224px.py'
BATCH = 32
HEADS: dict[str, dict | None] = {
    'linear': None,
    'agcn': dict(),
    'rgcn': dict(label_graph=dict(layer='residual')),
    'agcn-literal': dict(normalize_maps=False, residual='none'),
}


class LinearHead(nn.Sequential):
    """The plain baseline: average pooling and a linear layer."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        return super().forward(feats[-1])


def extract(cfg: Config, folder: Path) -> dict[str, np.ndarray]:
    """Return maps ``(2, N, D, H, W)`` (original and mirrored), targets ``(N, C)`` and names of both splits."""
    files = {split: folder / f'{split}.npz' for split in ('train', 'test')}
    if not all(file.exists() for file in files.values()):
        model = MODELS.build({'data_preprocessor': cfg.data_preprocessor, **cfg.model})
        model.init_weights()
        model.eval().to(memory_format=torch.channels_last)
    result: dict[str, np.ndarray] = {}
    for split, file in files.items():
        if not file.exists():
            dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            maps: list[list[Tensor]] = [[], []]
            for batch in DataLoader(dataset, BATCH, collate_fn=list):
                inputs = [sample['inputs'] for sample in batch]
                data = model.data_preprocessor(dict(inputs=inputs, data_samples=None))['inputs']
                for view, images in enumerate((data, data.flip(-1))[: 2 if split == 'train' else 1]):
                    with torch.inference_mode():
                        maps[view].append(
                            model.backbone(images.contiguous(memory_format=torch.channels_last))[-1].half()
                        )
                print(f'\r{split}: {sum(map(len, maps[0]))} / {len(dataset)}', end='', flush=True)
            print()
            infos = [dataset.get_data_info(i) for i in range(len(dataset))]
            np.savez(
                file,
                maps=torch.stack([torch.cat(view) for view in maps if view]).numpy(),
                targets=target_rows(dataset),
                ids=np.array([info['img_id'] for info in infos]),
                paths=np.array([info['img_path'] for info in infos]),
                classes=np.array(dataset.metainfo['classes']),
            )
        with np.load(file) as archive:
            result |= {f'{split}_{name}': archive[name] for name in archive}
    return result


def build_head(name: str, cfg: Config) -> nn.Module:
    head = cfg.model.head
    options = HEADS[name]
    if options is None:
        return LinearHead(head.in_channels, head.num_classes)
    merged = Config(dict(head=head.to_dict()))
    merged.merge_from_dict(dict(head=options))
    return MODELS.build(merged.head)


def train(head: nn.Module, maps: Tensor, targets: Tensor, lr: float, epochs: int, seed: int) -> list[float]:
    """Train by AdamW with a one-cycle schedule and random mirroring. Return the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=1e-4)
    steps = len(targets) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps * epochs)
    losses = []
    head.train()
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(targets), generator=generator)[: steps * BATCH].view(-1, BATCH):
            view = torch.randint(len(maps), rows.shape, generator=generator)
            loss = multi_label_bce(head((maps[view, rows].float(),)), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 10)
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / steps)
    return losses


@torch.no_grad()
def score(head: nn.Module, maps: Tensor) -> np.ndarray:
    head.eval()
    return torch.cat([head((part.float(),)).sigmoid() for part in maps.split(250)]).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default=CONFIG)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--heads', nargs='+', choices=HEADS, default=list(HEADS))
    parser.add_argument('--lrs', nargs='+', type=float, default=[2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2])
    parser.add_argument('--epochs', nargs='+', type=int, default=[8])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cfg = Config.fromfile(args.config)
    init_default_scope('mmpretrain')
    data = extract(cfg, args.out)
    maps, targets = torch.from_numpy(data['train_maps']), torch.from_numpy(data['train_targets']).float()
    test_maps = torch.from_numpy(data['test_maps'][0])
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    fit, held_out = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]

    log = args.out / 'results.jsonl'
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(row['head'], row['stage'], row['lr'], row['epochs'], row['seed']): row for row in rows}

    def run(name: str, stage: str, lr: float, epochs: int, seed: int) -> dict:
        key = (name, stage, lr, epochs, seed)
        if key not in done:
            torch.manual_seed(seed)
            head = build_head(name, cfg)
            if stage == 'tune':
                taken, losses = timed(train, head, maps[:, fit], targets[fit], lr, epochs, seed)
                result = evaluate_scores(score(head, maps[0, held_out]), targets[held_out].numpy())
            else:
                taken, losses = timed(train, head, maps, targets, lr, epochs, seed)
                scores = score(head, test_maps)
                dump = ScoreDump(
                    scores, data['test_targets'], data['test_ids'], data['test_paths'], tuple(data['test_classes'])
                )
                dump.save(args.out / f'{name}_seed{seed}.npz')
                result = evaluate_scores(scores, data['test_targets'])
            row = dict(head=name, stage=stage, lr=lr, epochs=epochs, seed=seed)
            row |= {figure: round(result[figure], 3) for figure in ('mAP', 'CF1', 'OF1')}
            row |= dict(losses=[round(loss, 4) for loss in losses], seconds=round(taken.wall, 1))
            done[key] = row
            with log.open('a') as file:
                file.write(json.dumps(row) + '\n')
        row = done[key]
        print({k: v for k, v in row.items() if k != 'losses'}, flush=True)
        return row

    for name in args.heads:
        tuned = [run(name, 'tune', lr, epochs, 0) for lr in args.lrs for epochs in args.epochs]
        best = max(tuned, key=lambda row: row['mAP'])
        for seed in args.seeds:
            run(name, 'test', best['lr'], best['epochs'], seed)


if __name__ == '__main__':
    main()
