"""The embedded digit scenes as a data set that writes itself."""

from typing import Any

from mlic_mm.registry import DATASETS

from ..coco import COCOMultiLabel


@DATASETS.register_module()
class DigitScenes(COCOMultiLabel):
    """Scenes of handwritten digits with ten labels, read like COCO and written on first use.

    See :mod:`mlic_mm.datasets.digit_scenes.scenes` for what is in a scene.

    Args:
        data_root (str): Folder of the data set; made where it is missing. Defaults to ``data/digits``.
        split (str): ``'train'`` or ``'val'``.
        seed (int): Same seed, same bytes.
        num_train (int): Scenes in ``train``.
        num_val (int): Scenes in ``val``.
        size (int): Edge of the images in pixels.
        **kwargs: Of :class:`COCOMultiLabel`, less ``ann_file`` and ``data_prefix``.

    Raises:
        FileExistsError: ``data_root`` holds something else, or scenes written with other options.
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        data_root: str = 'data/digits',
        split: str = 'train',
        seed: int = 0,
        num_train: int = 2000,
        num_val: int = 500,
        size: int = 112,
        **kwargs: Any,
    ) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"DigitScenes: split={split!r} must be 'train' or 'val'")
        self.options = dict(seed=seed, num_train=num_train, num_val=num_val, size=size)
        super().__init__(
            ann_file=f'annotations/instances_{split}.json', data_root=data_root, data_prefix=split, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Write the scenes where they are missing, then read them."""
        # Imported here so that `python -m mlic_mm.datasets.digit_scenes` does not find the module loaded already.
        from .scenes import write_digit_scenes

        write_digit_scenes(self.data_root, **self.options)
        return super().load_data_list()
