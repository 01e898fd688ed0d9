"""What `respike scaling` measures that is no experiment."""

import time
from collections.abc import Callable

import numpy as np

from respike.data.emulator import camera, parameters
from respike.data.mnist import Mnist


def emulate(data: Mnist) -> Callable[[int], float]:
    """Return a function that emulates so many recordings; it returns CPU seconds."""
    p = parameters.load_parameters()

    def timed(size: int) -> float:
        start = time.process_time()
        camera.emulate(data.train_images[:size], np.arange(size), 0, p, "cpu")
        return time.process_time() - start

    return timed
