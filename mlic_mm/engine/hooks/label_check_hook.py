"""Label names of data, model and checkpoint, compared before a run."""

from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from mlic_mm.datasets.check_labels import check_training_labels, check_validation_labels
from mlic_mm.engine.unwrap_model import unwrap_model
from mlic_mm.registry import HOOKS
from mlic_mm.safe_load.checkpoint_weights import StoredWeights, misfit
from mlic_mm.utils.checks import check_head_labels, check_same_classes


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Stop the run if data, head, label graph and checkpoint do not have the same labels in the same order.

    Without this check, a wrong number of labels gives an obscure error, or only a warning when a checkpoint is loaded.
    A wrong order gives no error at all. A training may start from a checkpoint with other labels (``load_from``,
    fine-tuning). Resuming and testing may not.

    Raises:
        ValueError: At the start of a run; names the first difference, both sources and the cure.

    Examples:
        >>> HOOKS.build(dict(type='mlic_mm.LabelCheckHook')).priority  # before other hooks
        'VERY_HIGH'
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Compare training data, validation data and model."""
        loaders = {'training': runner.train_dataloader}
        if runner.val_loop is not None:
            loaders['validation'] = runner.val_dataloader
        self._check_all(runner, loaders)
        check_training_labels(runner.train_dataloader.dataset)
        if 'validation' in loaders:
            check_validation_labels(loaders['validation'].dataset)

    def before_val(self, runner: Runner) -> None:
        """Compare validation data and model, if there is no training."""
        if not isinstance(runner._train_loop, BaseLoop):
            self._check_all(runner, {'validation': runner.val_dataloader})

    def before_test(self, runner: Runner) -> None:
        """Compare test data and model."""
        self._check_all(runner, {'test': runner.test_dataloader})

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the data, and its weights with the model."""
        # Some hooks build the train loop for a test, too; nothing builds the test loop for a training.
        loops = (runner._test_loop, runner._train_loop, runner._val_loop)
        loop = next(loop for loop in loops if isinstance(loop, BaseLoop))
        source = f'checkpoint {runner._load_from}'
        if loop is runner._train_loop and not runner._resume:
            _name_what_starts_anew(runner, checkpoint, source)
            return
        stored = StoredWeights.of(checkpoint, source)
        name, classes = _classes_of(loop.dataloader)
        if stored.classes and classes:
            check_same_classes(classes, stored.classes, name, source)
        # mmengine leaves a tensor of another shape, or of no name, as it was initialised, with only a warning.
        stored.check_fit(unwrap_model(runner), training=loop is runner._train_loop)

    def _check_all(self, runner: Runner, loaders: dict[str, DataLoader]) -> None:
        model = unwrap_model(runner)
        head = getattr(model, 'label_head', getattr(model, 'head', None))  # the first is that of a LabelledDetector
        reference: tuple[str, tuple[str, ...]] | None = None
        for kind, loader in loaders.items():
            name, classes = _classes_of(loader)
            if classes is None:
                runner.logger.warning(
                    f"{kind} {name} does not state its label names (metainfo['classes']): not checked"
                )
                continue
            if reference:
                check_same_classes(reference[1], classes, reference[0], f'{kind} {name}')
            for step in getattr(getattr(loader.dataset, 'pipeline', None), 'transforms', []):
                taught = getattr(step, 'classes', None)  # LoadTeacher's
                if taught:
                    check_same_classes(classes, taught, f'{kind} {name}', f'{type(step).__name__} of its pipeline')
            reference = reference or (f'{kind} {name}', classes)
        if head is None or reference is None:
            return
        for name, objective in getattr(model, 'objectives', {}).items():
            taught = getattr(getattr(objective, 'teacher', None), 'classes', None)
            if taught:
                where = f'teacher of the model (model.objectives.{name}.teacher)'
                check_same_classes(reference[1], taught, reference[0], where)
        graph = getattr(getattr(head, 'label_graph', None), 'classes', None)
        if graph:
            check_same_classes(reference[1], graph, reference[0], 'label graph of the model (model.head.label_graph)')
        if not check_head_labels(head, reference[1], reference[0]):
            runner.logger.warning(
                f'{type(head).__name__} has neither num_classes nor a layer: its labels are not checked'
            )


def _name_what_starts_anew(runner: Runner, checkpoint: dict[str, Any], source: str) -> None:
    """Keep the weights of a start checkpoint that fit the model; log the names of those that do not.

    Raises:
        CheckpointError: Nothing fits.
    """
    model = unwrap_model(runner)
    stored = StoredWeights.of(checkpoint, source)
    own, found = model.state_dict(), stored.weights
    anew = [
        key
        for key, value in own.items()
        if key not in found or found[key].shape != value.shape or misfit(found[key], value)
    ]
    if len(anew) == len(own):
        stored.check_fit(model)
    averaged = any(isinstance(hook, EMAHook) for hook in runner.hooks)
    if anew:
        runner.logger.warning(
            f'{source}: {len(own) - len(anew)} of {len(own)} tensors of the model are taken from it; these start anew'
            f'{", and so do their averages" if averaged else ""}: {", ".join(anew[:8])}{" …" if len(anew) > 8 else ""}'
        )
    # The model's own tensors take their places: EMAHook fails on one that is missing or has another size.
    averages = checkpoint.get('ema_state_dict')
    for key in anew:
        checkpoint['state_dict'][key] = own[key].clone()
        if averages is not None:
            averages[f'module.{key}'] = own[key].clone()
    others = [key for key in checkpoint['state_dict'] if key.removeprefix('module.') not in own]
    if others:
        runner.logger.info(f'{source}: {len(others)} of its tensors are not of the model, such as {others[0]}')
    for key in others:  # mmengine would list them all
        del checkpoint['state_dict'][key]
        if averages is not None:
            averages.pop(f'module.{key}', None)


def _classes_of(loader: DataLoader) -> tuple[str, tuple[str, ...] | None]:
    dataset = loader.dataset
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    return f'data set {type(dataset).__name__}', tuple(classes) if classes else None
