"""The runner of our commands, its hooks, launching and resuming."""

from mlic_mm.engine import hooks

from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper

__all__ = ['CPUAmpOptimWrapper', 'hooks']
