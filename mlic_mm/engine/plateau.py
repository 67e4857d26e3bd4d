"""When a value has stopped falling."""

import math


class Plateau:
    """Tell when a value has not fallen by more than a share below its best for some epochs.

    Args:
        patience: Epochs in a row without such a fall.
        min_delta: The share of the best value.
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited = 0

    def reached(self, value: float) -> bool:
        """Take the value of one more epoch; one that is not finite says nothing, for or against."""
        if not math.isfinite(value):
            return False
        if self.best is None or value < self.best * (1 - math.copysign(self.min_delta, self.best)):
            self.best = value
            self.waited = 0
        else:
            self.waited += 1
        return self.waited >= self.patience
