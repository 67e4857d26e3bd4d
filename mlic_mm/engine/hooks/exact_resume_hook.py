"""Resumed trainings with the same result as uninterrupted ones."""

from pathlib import Path
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import IterableDataset

from mlic_mm.engine.seeding import derive_seed, seed_everything, seed_samples
from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed training end as it would have ended without the interruption.

    mmengine restores weights, optimiser and schedules. This hook takes care of the rest:

    - augmentation, dropout and everything else that is random (see :mod:`mlic_mm.engine.seeding`);
    - the order of images if no seed is configured, because the sampler is built before the checkpoint is read;
    - checkpoints inside an epoch: the rest of the epoch follows, not the whole epoch again;
    - gradients that were accumulated but not yet applied (in one process);
    - the best checkpoint of a run that was copied or moved: nothing in the folder of the original run is deleted;
    - a validation that was interrupted or not yet saved, so that best score, early stopping and plateau schedules
      agree.

    Examples:
        >>> HOOKS.build(dict(type='mlic_mm.ExactResumeHook')).priority  # after hooks that draw random numbers
        'LOWEST'
    """

    # Last before a step, since other hooks may draw random numbers; last before training, since validating needs them.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._resumed: dict[str, Any] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Read what this hook has stored."""
        if runner._resume:
            self._resumed = checkpoint.get('exact_resume', {})
            _stay_in_work_dir(runner, checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store what mmengine does not store."""
        wrapper = runner.optim_wrapper
        state = dict(
            sampler_seed=getattr(runner.train_dataloader.sampler, 'seed', None),
            validated=runner.message_hub.get_info('loop_stage') == 'val',
        )
        # Only one process saves, and the others have accumulated other gradients.
        if runner.world_size == 1 and getattr(wrapper, '_inner_count', 0) % getattr(wrapper, '_accumulative_counts', 1):
            grads = ((name, parameter.grad) for name, parameter in runner.model.named_parameters())
            state['gradients'] = {name: grad.cpu() for name, grad in grads if grad is not None}
        checkpoint['exact_resume'] = state

    def before_train(self, runner: Runner) -> None:
        """Continue where the checkpoint was saved, and seed every sample."""
        loop, loader = runner.train_loop, runner.train_dataloader
        if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
            raise ValueError(
                f'{type(loader.dataset).__name__} is read as a stream or without batches: a resumed training cannot '
                'find its place in it; switch exact resuming off with default_hooks.exact_resume=None'
            )
        sampler_seed = self._resumed.get('sampler_seed')
        if sampler_seed is not None:
            loader.sampler.seed = sampler_seed
        self._seeds = seed_samples(loader, runner.seed, runner.rank)
        if isinstance(loop, IterBasedTrainLoop):
            # The original mmengine has made an iterator by now, which does not seed and has drawn indices ahead.
            if isinstance(loader.sampler, InfiniteSampler):
                loader.sampler.indices = loader.sampler._indices_of_rank()
            loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)
            # mmengine skips what the training has had: a sampler that can jump does, any other is run from the start.
            jumps = hasattr(loader.sampler, 'skip') and hasattr(loop.dataloader_iterator, 'skip_iter')
            self._seeds.batch = runner.iter if jumps or getattr(loop, 'fast_forward_on_resume', False) else 0
        else:
            self._seeds.skip = runner.iter - runner.epoch * len(loader)
            self._seeds.batch = runner.iter
        for name, parameter in runner.model.named_parameters():
            if name in self._resumed.get('gradients', {}):
                parameter.grad = self._resumed['gradients'][name].to(parameter.device)
        if self._resumed and not self._resumed['validated'] and _validation_was_due(runner):
            runner.logger.info('validating first: the checkpoint was saved before its validation had finished')
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed this step."""
        # One number more than samples have in their key, so that no step shares a seed with a sample.
        seed_everything(derive_seed(runner.seed, runner.rank, runner.iter, 0, 1))


def _stay_in_work_dir(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Let the best checkpoint be the one in this work directory.

    CheckpointHook deletes the best checkpoint when there is a better one. It takes the path from the checkpoint. In a
    run that was copied or moved, this path points to the original run.
    """
    if any(isinstance(hook, CheckpointHook) and hook.out_dir for hook in runner.hooks):
        return  # all checkpoints lie in another place
    info = checkpoint.get('message_hub', {}).get('runtime_info', {})
    for key, value in info.items():
        if key.startswith(('best_ckpt', 'last_ckpt')) and isinstance(value, str) and '://' not in value:
            info[key] = str(Path(runner.work_dir, Path(value).name))


def _validation_was_due(runner: Runner) -> bool:
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    if isinstance(loop, IterBasedTrainLoop):
        done, last = loop.iter, loop.max_iters
    else:
        done, last = loop.epoch, loop.max_epochs
        if loop.iter % len(loop.dataloader):
            return False
    loop._decide_current_val_interval()
    return 0 < done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)
