"""How far the maps of a model are from moving with the image."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from mmengine.evaluator import BaseMetric

from mlic_mm.registry import METRICS


@METRICS.register_module()
class AttentionInconsistency(BaseMetric):
    """Attention inconsistency under each transform. Lower is better.

    Paper: `Visual Attention Consistency
    <https://openaccess.thecvf.com/content_CVPR_2019/html/Guo_Visual_Attention_Consistency_Under_Image_Transforms_for_Multi-Label_Image_Classification_CVPR_2019_paper.html>`_
    (Guo et al. 2019), Table 2.

    * ``inconsistency_<view>`` is Eq. 5 over the tested images: the mean square of the difference between the moved maps
      of an image and the maps of its view, in squared logits. It also falls if the maps become smaller.
    * ``relative_inconsistency_<view>`` says whether the maps look at the same places. It is the same difference of maps
      minus their means over places, divided by their mean variance. Equal maps have 0, unrelated maps 2, and a map and
      its negative 4.

    The model must be a :class:`~mlic_mm.models.MultiLabelClassifier` with an objective
    :class:`~mlic_mm.models.AttentionConsistency` and ``measure=True``. It can load the weights of an
    ``ImageClassifier``.

    Args:
        collect_device: How processes exchange results.
        prefix: Text before the names of the metrics, with a ``/`` between.

    Raises:
        ValueError: The model measures no inconsistency.

    Examples:
        >>> from mlic_mm.registry import METRICS
        >>> metric = METRICS.build(dict(type='mlic_mm.AttentionInconsistency'))
        >>> sample = dict(attention_inconsistency=dict(flip=[0.5, 0.25, 0.5]))  # distance, pattern, spread
        >>> metric.process(None, [sample])
        >>> metric.evaluate(1)
        {'inconsistency_flip': 0.5, 'relative_inconsistency_flip': 0.5}
    """

    default_prefix = ''  # None would log a warning

    def __init__(self, collect_device: Literal['cpu', 'gpu'] = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what the model measured.

        Raises:
            ValueError: The model measured nothing.
        """
        for sample in data_samples:
            if 'attention_inconsistency' not in sample:
                raise ValueError(
                    "AttentionInconsistency: the model measures nothing: set model.type='mlic_mm.MultiLabelClassifier' "
                    "and model.objectives.consistency=dict(type='mlic_mm.AttentionConsistency', views=…, measure=True)"
                )
            self.results.append(sample['attention_inconsistency'])

    def compute_metrics(self, results: list[dict[str, list[float]]]) -> dict[str, float]:
        """Return both metrics of every view."""
        figures = {}
        for view in results[0]:
            distance, pattern, spread = np.array([result[view] for result in results]).mean(0).tolist()
            figures[f'inconsistency_{view}'] = distance
            figures[f'relative_inconsistency_{view}'] = pattern / spread if spread else float('nan')
        return figures
