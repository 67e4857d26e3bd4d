"""The built-in digit scenes, a data set that is generated on first use."""

from typing import Any, Literal

from mlic_mm.registry import DATASETS
from mlic_mm.utils.choices import check_choice

from ..coco import COCOMultiLabel


@DATASETS.register_module()
class DigitScenes(COCOMultiLabel):
    """Scenes of handwritten digits with ten labels, read like COCO and written on first use.

    See :mod:`mlic_mm.datasets.digit_scenes.scenes` for what is in a scene.

    Args:
        data_root: Folder of the data set. It is made if it does not exist.
        split: A split.
        seed: The same seed gives the same bytes.
        num_train: Number of scenes in ``train``.
        num_val: Number of scenes in ``val``.
        size: Edge of the images in pixels.
        **kwargs: Options of :class:`COCOMultiLabel` except ``ann_file`` and ``data_prefix``.

    Raises:
        FileExistsError: ``data_root`` holds something else, or scenes that were written with other options.
        ValueError: An option is out of range.

    Examples:
        >>> import tempfile
        >>> from mlic_mm.registry import DATASETS
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = DATASETS.build(
        ...         dict(type='mlic_mm.DigitScenes', data_root=folder, num_train=2, num_val=1, size=64)
        ...     )
        >>> [data.metainfo['classes'][label] for label in data.get_data_info(0)['gt_label']]
        ['six']
    """

    def __init__(
        self,
        data_root: str = 'data/digits',
        split: Literal['train', 'val'] = 'train',
        seed: int = 0,
        num_train: int = 2000,
        num_val: int = 500,
        size: int = 112,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, ('train', 'val'))
        self.options = dict(seed=seed, num_train=num_train, num_val=num_val, size=size)
        super().__init__(
            ann_file=f'annotations/instances_{split}.json', data_root=data_root, data_prefix=split, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Write the scenes if they do not exist, then read them."""
        # Imported here so that `python -m mlic_mm.datasets.digit_scenes` does not find the module loaded already.
        from .scenes import write_digit_scenes

        write_digit_scenes(self.data_root, **self.options)
        return super().load_data_list()
