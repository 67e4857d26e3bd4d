"""When a value has stopped falling."""

import math


class Plateau:
    """Tells when a value has not fallen by more than a share of its best for some epochs.

    Args:
        patience: Number of epochs in a row without such a fall.
        min_delta: Share of the best value.

    Example:
        >>> plateau = Plateau(patience=2, min_delta=0.1)
        >>> [plateau.reached(value) for value in (1.0, 0.8, 0.79, 0.78)]
        [False, False, False, True]
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited = 0

    def reached(self, value: float) -> bool:
        """Add the value of one more epoch. A value that is not finite does not count."""
        if not math.isfinite(value):
            return False
        if self.best is None or value < self.best * (1 - math.copysign(self.min_delta, self.best)):
            self.best = value
            self.waited = 0
        else:
            self.waited += 1
        return self.waited >= self.patience
