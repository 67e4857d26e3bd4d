"""Report unreadable images at the end of a run."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class CorruptImageHook(Hook):
    """Report the images that ``LoadImage(on_error='skip')`` left out, after training and after testing.

    A data set (:class:`~mlic_mm.datasets.multi_label_base.MultiLabelBase`) leaves them out when it is built, and logs
    this at once. The hook repeats the warning at the end of the log, where users look. There is no report on complete
    data sets and on data sets of other packages.

    Examples:
        >>> hook = HOOKS.build(dict(type='mlic_mm.CorruptImageHook'))  # for custom_hooks of a config
    """

    def after_train(self, runner: Runner) -> None:
        """Report on the training and validation data."""
        self._report(runner, runner.train_loop, runner.val_loop)

    def after_test(self, runner: Runner) -> None:
        """Report on the test data."""
        self._report(runner, runner.test_loop)

    @staticmethod
    def _report(runner: Runner, *loops: Any) -> None:
        for loop in loops:
            if loop is None:
                continue
            dataset = loop.dataloader.dataset
            if getattr(dataset, 'skipped', None):
                # mmengine's logger drops a warning that was logged before, so the words differ from those at the start.
                runner.logger.warning(f'This run did not see all images. {dataset.skip_report()}')
