"""A training that takes seconds: four labels on 32-pixel images with random augmentation and stochastic depth.

Shared by the tests of the tools and the hooks, which run it in processes of their own.
"""

import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import yapf.yapflib.yapf_api

REPO = Path(__file__).resolve().parents[1]
CLASSES = ('red', 'green', 'blue', 'bright')

CONFIG = """
_base_ = [{runtime!r}]
preprocess = dict(mean=[127.0] * 3, std=[128.0] * 3, to_rgb=True)
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=4, **preprocess),
    backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4, drop_path_rate=0.5),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32),
)
pack = dict(type='PackInputs', meta_keys=('sample_idx', 'img_id', 'img_path', 'ori_shape', 'img_shape'))
load = dict(type='LoadImageFromFile')
crop = dict(type='RandomResizedCrop', scale=32)
augment = [crop, dict(type='RandomFlip', prob=0.5), dict(type='ColorJitter', hue=0.2)]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='MultiLabelDataset', ann_file={data!r}, pipeline=[load, *augment, pack]),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiLabelDataset', ann_file={data!r}, pipeline=[load, pack]),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mlic_mm.MLICMetric')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
warm_up = dict(type='LinearLR', start_factor=0.1, end=5, by_epoch=False)
param_scheduler = [warm_up, dict(type='MultiStepLR', milestones=[2])]
train_cfg = dict(by_epoch=True, max_epochs=3)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)
randomness = dict(seed=3)
default_hooks = dict(logger=dict(interval=1))
"""


def write_config(folder: Path, *, images: int = 11, extra: str = '') -> Path:
    """Write images, annotations and a config into ``folder`` and return the config's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    samples = []
    for i in range(images):
        picture = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        labels = sorted({int(label) for label in rng.integers(0, len(CLASSES), 2)} | {i % len(CLASSES)})
        cv2.imwrite(str(folder / f'{i:02}.png'), picture)
        samples.append(dict(img_path=str(folder / f'{i:02}.png'), img_id=f'{i:02}', gt_label=labels))
    data = folder / 'labels.json'
    data.write_text(json.dumps(dict(metainfo=dict(classes=CLASSES), data_list=samples)))
    config = folder / 'tiny config.py'
    runtime = str(REPO / 'configs/_base_/default_runtime.py')
    config.write_text(CONFIG.format(runtime=runtime, data=str(data)) + extra)
    return config


def skip_pretty_printing() -> None:
    """Leave configs as they are: formatting one costs most of such a short run, once per checkpoint."""
    yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)


def _execute(tool: str, words: list[str], cwd: str, env: dict[str, str], log: str, file_limit: int | None) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    os.setpgrp()  # a signal to the group reaches what the tool starts, as Ctrl-C in a terminal does
    os.chdir(cwd)
    if file_limit:
        # The kernel kills this process in the middle of the first write beyond so many bytes.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    os.environ.update(env)
    sys.argv = [tool, *words]
    sys.path.insert(0, str(Path(tool).parent))  # as Python does when it runs a file
    skip_pretty_printing()
    runpy.run_path(tool, run_name='__main__')


class ToolProcess:
    """A Python tool in a process of its own, forked from a server that has imported torch and the MM packages.

    Importing them takes seconds, and many tests start a tool. A real process that can be killed, nothing else shared.
    """

    def __init__(self, tool: str, *words: object, cwd: Path, file_limit: int | None = None, **env: str) -> None:
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(
            ['mlic_mm', 'mmpretrain.models', 'mmpretrain.engine', 'mmpretrain.visualization']
        )
        # The server takes these over. Sums have the same bits only with the same number of threads.
        os.environ.update(OMP_NUM_THREADS='1', PYTHONPATH=str(REPO))
        self.log = Path(tempfile.mkstemp(suffix='.log')[1])
        args = (str(REPO / 'tools' / tool), [str(word) for word in words], str(cwd), env, str(self.log), file_limit)
        self.process = context.Process(target=_execute, args=args)
        self.process.start()

    @property
    def output(self) -> str:
        return self.log.read_text(errors='replace')

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        self.process.join(300)
        if self.process.exitcode is None:
            # Python waits at its end for all that it started, and the whole suite would hang.
            for process in multiprocessing.active_children():
                os.killpg(process.pid or 0, signal.SIGKILL)
            raise AssertionError(f'still running after five minutes: {self.output[-3000:]}')
        return self.process.exitcode

    def signal_at(self, text: str, number: signal.Signals) -> int:
        """Send a signal as soon as the output has a line with ``text``, and wait for the end."""
        until = time.monotonic() + 60
        while text not in self.output:
            assert self.process.is_alive(), f'ended before {text!r}: {self.output[-3000:]}'
            assert time.monotonic() < until, f'no {text!r} in {self.output[-3000:]}'
            time.sleep(0.002)
        os.kill(self.process.pid or 0, number)
        return self.wait()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the tool and all that it started."""
        os.killpg(self.process.pid or 0, number)


def run(tool: str, *words: object, cwd: Path, **env: str) -> str:
    """Run a tool to its good end and return its output."""
    process = ToolProcess(tool, *words, cwd=cwd, **env)
    assert process.wait() == 0, process.output[-5000:]
    return process.output


def run_failing(tool: str, *words: object, cwd: Path, **env: str) -> str:
    """Run a tool that has to fail as tools do, with one line and exit status 2, and return its output."""
    process = ToolProcess(tool, *words, cwd=cwd, **env)
    assert process.wait() == 2, process.output[-5000:]
    assert process.output.count('error: ') == 1, process.output[-5000:]
    assert process.output.splitlines()[-1].startswith('error: '), process.output[-5000:]
    assert 'Traceback' not in process.output, process.output[-5000:]
    return process.output
