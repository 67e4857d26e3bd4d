"""Say at the end of a run which images could not be read."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlic_mm.registry import HOOKS


@HOOKS.register_module()
class CorruptImageHook(Hook):
    """Report the images that ``LoadImage(on_error='skip')`` left out, after training and after testing.

    They are left out when a data set is built (:class:`~mlic_mm.datasets.multi_label_base.MultiLabelBase`), which says
    so at once; this repeats it where it is read, at the end. Nothing is said of data sets that are complete or are not
    ours.
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
                # mmengine's logger drops a warning that was given before, so the words differ from those at the start.
                runner.logger.warning(f'This run did not see all images. {dataset.skip_report()}')
