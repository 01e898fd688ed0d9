"""Reading a learning curve: when an accuracy is first reached."""

LEVELS = (0.90, 0.95, 0.97)


def epochs_to(epochs, accuracies, levels=LEVELS) -> dict[str, float]:
    """Return {epochs_to_90: ..., ...}, linear between the points of the curve.

    A curve starts at epoch 0 with chance, 0.1. A level that is never reached gives NaN.
    """
    found = {}
    for level in levels:
        before, at = 0.0, 0.1
        found[f"epochs_to_{level * 100:.0f}"] = float("nan")
        for epoch, accuracy in zip(epochs, accuracies, strict=True):
            if accuracy >= level:
                found[f"epochs_to_{level * 100:.0f}"] = before + (epoch - before) * (
                    (level - at) / (accuracy - at)
                )
                break
            before, at = epoch, accuracy
    return found


def largest_drop(accuracies) -> float:
    """Return how far the curve ever falls below its best value so far."""
    best, drop = 0.0, 0.0
    for accuracy in accuracies:
        best = max(best, accuracy)
        drop = max(drop, best - accuracy)
    return drop
