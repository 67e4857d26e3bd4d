"""The score file of a student, by image."""

from collections.abc import Mapping
from typing import Any

from mlic_mm.evaluation import ScoreDump
from mlic_mm.visualization.region_pictures import ScoredLabel, best_labels

__all__ = ['StudentScores']


class StudentScores:
    """The score file of a student, by image.

    Args:
        dump: What the file holds.
        name: Path of the file, for messages.
    """

    def __init__(self, dump: ScoreDump, name: str) -> None:
        self.dump, self.name = dump.with_distinct_ids(), name
        self.rows = {str(image): row for row, image in enumerate(self.dump.image_ids)}

    def best(self, info: Mapping[str, Any]) -> list[ScoredLabel]:
        """Return the best labels of a sample, which is found by its id or else by its path.

        Raises:
            ValueError: The file has no scores of the sample.
        """
        row = next((self.rows[k] for key in ('img_id', 'img_path') if (k := str(info.get(key))) in self.rows), None)
        if row is None:
            raise ValueError(
                f'{self.name} has no scores of image {info.get("img_id", info["img_path"])}: use scores of the same '
                'test set'
            )
        return best_labels(self.dump.scores[row], self.dump.targets[row], self.dump.classes)
