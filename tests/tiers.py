"""Three tiers of tests: unit, integration and process.

unit
    Calls functions. Builds no runner and starts no process.
integration
    Builds runners, trains for seconds, runs commands in this process, exports models, finds proposals in photographs.
process
    Starts processes or a browser, or takes longer than ten seconds: kills, resumed runs, two ranks, one start of each
    tool. Only CI runs them.

A test is a unit test unless it, its class or its module has the mark ``integration`` or ``process``. What a tier must
not do fails in it.
"""

import functools
import multiprocessing.process
import subprocess
from typing import Any

import pytest
from mmengine.runner import Runner

TIERS = ('unit', 'integration', 'process')
_running = 'process'


def tier_of(item: pytest.Item) -> str:
    return next((tier for tier in reversed(TIERS) if item.get_closest_marker(tier)), 'unit')


def enter(tier: str) -> None:
    """Say which tier the code that runs from now on belongs to."""
    global _running
    _running = tier


def needs_tier(lowest: str) -> None:
    """Fail if the running test is of a lower tier."""
    if TIERS.index(_running) < TIERS.index(lowest):
        pytest.fail(f'this is no {_running} test: mark it with pytest.mark.{lowest} (see tests/tiers.py)')


def _guard(owner: Any, name: str, lowest: str) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def checked(*args: Any, **kwargs: Any) -> Any:
        needs_tier(lowest)
        return original(*args, **kwargs)

    setattr(owner, name, checked)


def guard() -> None:
    """Watch what the lower tiers must not do."""
    _guard(Runner, '__init__', 'integration')
    # mmengine's runner starts compilers to ask for their versions, and loaders start workers.
    _guard(subprocess.Popen, '__init__', 'integration')
    _guard(multiprocessing.process.BaseProcess, 'start', 'integration')
