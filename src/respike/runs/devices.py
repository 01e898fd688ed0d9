"""Where a job computes: the CPU with its threads, or a GPU that no other job has."""

import errno
import os
import socket
import sys
from collections.abc import Sequence

from respike.runs.result import SettingsError


def device_name(wanted: str) -> str:
    """Return `cpu` or `cuda` for auto|cpu|cuda; raise SettingsError if there is no GPU.

    Of several GPUs one that no other job of this user has is made the current one.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    # Of several parts of a GPU (MIG) CUDA takes the first that is named, when it is first asked.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if len(visible) > 1 and visible[0].startswith("MIG-"):
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[free_gpu(visible)]
    if torch.cuda.is_available():
        if (count := torch.cuda.device_count()) > 1:
            uuids = [str(torch.cuda.get_device_properties(n).uuid) for n in range(count)]
            torch.cuda.set_device(free_gpu(uuids))
        return "cuda"
    if wanted == "cuda":
        raise SettingsError(
            "device: cuda was asked for and torch finds no GPU; set `device: auto` in config.yaml"
        )
    return "cpu"


_gpu_held = None  # until the process ends, however it ends


def free_gpu(names: Sequence[str]) -> int:
    """Return the place in `names` of a GPU that no other job holds, and hold it; else 0.

    Snakemake counts GPUs and names none: with `--resources gpu=2` two jobs would share the first.
    A GPU goes by a name that all jobs of the machine know it by, whichever GPUs each of them sees
    and whoever started it. What holds it is a socket of that name, which the kernel keeps and no
    file system has to: it needs no folder, no rights and no locks.
    """
    global _gpu_held
    for number, name in enumerate(names):
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0respike-gpu-{name}")
        except OSError as error:
            held.close()
            if error.errno == errno.EADDRINUSE:
                continue
            break  # it cannot be told which are free
        _gpu_held = held
        return number
    return 0


def label(device: str) -> str:
    """Return cpu, or the name of the GPU, as results say it."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def set_threads(threads: int) -> None:
    """Limit numba, torch and the BLAS of NumPy to `threads`, loaded or not yet."""
    import threadpoolctl

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # for what is loaded from now on
    threadpoolctl.threadpool_limits(threads)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
