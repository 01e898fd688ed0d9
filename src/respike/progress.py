"""Lines of progress for long jobs: what runs, how far it is, how long the rest will take."""

import sys
import time


class Progress:
    """Prints at most one line every `every_s` seconds, and always the last one.

    A line reads `poisson_mlp train seed 0: epoch 3/10, accuracy 0.871, 14 s left`.
    """

    def __init__(self, label: str, every_s: float = 5.0, stream=None):
        self.label, self.every_s = label, every_s
        self.stream = stream or sys.stderr
        self.start = time.monotonic()
        self.shown_at = -float("inf")

    def __call__(self, unit: str, done: int, total: int, **numbers: float) -> None:
        """Report that `done` of `total` units (epochs, images, ...) are finished."""
        now = time.monotonic()
        if done < total and now - self.shown_at < self.every_s:
            return
        self.shown_at = now
        elapsed = now - self.start
        parts = [f"{unit} {done}/{total}"]
        parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items()]
        if 0 < done < total:
            parts.append(f"{elapsed / done * (total - done):.0f} s left")
        elif done >= total:
            parts.append(f"{elapsed:.0f} s")
        print(f"{self.label}: {', '.join(parts)}", file=self.stream, flush=True)
