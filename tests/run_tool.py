"""Tools in this process: their options, outputs and errors, without the seconds that a new process costs."""

import contextlib
import io
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from tiny_run import skip_pretty_printing

TOOLS = Path(__file__).resolve().parents[1] / 'tools'
SINGLETONS = (MMLogger, MessageHub, Visualizer, DefaultScope)
"""What mmengine keeps for each run, by its name and the second of its start."""


@cache
def tool_main(name: str) -> Callable[[list[str]], Any]:
    """Return ``main`` of a tool, as ``tools/<name>.py`` defines it."""
    sys.path.insert(0, str(TOOLS))  # as Python does when it runs a file
    try:
        return runpy.run_path(str(TOOLS / f'{name}.py'))['main']
    finally:
        sys.path.remove(str(TOOLS))


def call_tool(name: str, *words: object) -> Any:
    """Run a tool with some words, and return what its ``main`` returns."""
    return tool_main(name)([str(word) for word in words])


def run_tool(name: str, *words: object, cwd: Path, **env: str) -> str:
    """Run a tool in a folder to its good end, and return its output."""
    with run_apart(cwd, **env) as output:
        status = call_tool(name, *words)
    assert not status, output.getvalue()[-5000:]
    return output.getvalue()


def run_failing_tool(name: str, *words: object, cwd: Path, **env: str) -> str:
    """Run a tool that must fail with one line and exit status 2, and return its output."""
    with run_apart(cwd, **env) as output, pytest.raises(SystemExit) as caught:
        call_tool(name, *words)
    text = output.getvalue()
    assert caught.value.code == 2, text[-5000:]
    assert text.count('error: ') == 1, text[-5000:]
    assert text.splitlines()[-1].startswith('error: '), text[-5000:]
    assert 'Traceback' not in text, text[-5000:]
    return text


@contextlib.contextmanager
def run_apart(cwd: Path, **env: str) -> Iterator[io.StringIO]:
    """Give a tool its folder, environment and output, and put back what it sets for its whole process."""
    here, output, threads = Path.cwd(), io.StringIO(), torch.get_num_threads()
    kept = [(kind, dict(kind._instance_dict)) for kind in SINGLETONS]
    with (
        mock.patch.dict(os.environ, env),
        mock.patch('yapf.yapflib.yapf_api.FormatCode'),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        skip_pretty_printing()
        for kind in SINGLETONS:
            kind._instance_dict.clear()
        os.chdir(cwd)
        torch.set_num_threads(1)  # as in a process of its own: sums have the same bits only with as many threads
        try:
            yield output
        finally:
            os.chdir(here)
            torch.set_num_threads(threads)
            for kind, instances in kept:
                kind._instance_dict.clear()
                kind._instance_dict.update(instances)
