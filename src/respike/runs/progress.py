"""Lines of progress for long jobs: what runs, how far it is, how long the rest will take."""

import sys
import time


class Progress:
    """Prints at most one line every `every_s` seconds, and always the last one.

    A line reads `<source> train seed 0: epoch 3/10, accuracy 0.871, 14 s left`.
    """

    def __init__(self, label: str, every_s: float = 5.0, stream=None):
        self.label, self.every_s = label, every_s
        self.stream = stream or sys.stderr
        self.start = time.monotonic()
        self.unit = ""
        self.first = (0, 0.0)  # first report of this unit: before it, things start up
        self.shown_at = -float("inf")

    def __call__(self, unit: str, done: float, total: int, **numbers: float) -> None:
        """Report that `done` of `total` units (epochs, images, ...) are finished."""
        now = time.monotonic()
        if unit != self.unit:
            self.unit, self.first = unit, (done, now)
        if done < total and now - self.shown_at < self.every_s:
            return
        self.shown_at = now
        parts = [f"{unit} {done}/{total}"]
        parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items()]
        if done >= total:
            parts.append(f"{now - self.start:.0f} s")
        elif done > self.first[0]:
            a_unit = (now - self.first[1]) / (done - self.first[0])
            parts.append(f"{a_unit * (total - done):.0f} s left")
        print(f"{self.label}: {', '.join(parts)}", file=self.stream, flush=True)
