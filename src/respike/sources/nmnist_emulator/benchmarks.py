"""N-MNIST recordings: the emulator, and preprocessing against tonic's transforms."""

import os
from pathlib import Path

import numpy as np
from tonic.datasets import NMNIST
from tonic.io import make_structured_array
from tonic.transforms import Denoise, ToFrame

from respike.commands.benchmark import Case
from respike.data.emulator import camera, gpu, parameters
from respike.data.nmnist import archive as nmnist_archive
from respike.data.nmnist import binary_format
from respike.data.nmnist.event_frames import bin_events, denoise
from respike.runs import provenance

N_RECORDINGS, FILTER_TIME, T_WINDOW, NUM_STEPS = 20, 10_000, 2_000, 150  # 150: 300 ms


def recordings() -> tuple[list[np.ndarray], str]:
    """Return packed recordings and what they are: real ones if the sample is there."""
    sample = os.environ.get("RESPIKE_NMNIST_SAMPLE")
    path = Path(sample or provenance.ROOT.parent / "shared" / "data" / "nmnist-real-sample.zip")
    if path.is_file():
        with nmnist_archive.Archive(path) as archive:
            members = archive.halves()["train"][:N_RECORDINGS]
            return [
                binary_format.decode(archive.read(m.name), m.place) for m in members
            ], "real recordings"
    rng, n = np.random.default_rng(0), 4_000  # about the events of a real one
    made = []
    for _ in range(N_RECORDINGS):
        x, y = rng.integers(0, binary_format.SIZE, (2, n))
        t = np.sort(rng.integers(0, 308_000, n))
        made.append(binary_format.pack(x, y, t, rng.integers(0, 2, n)))
    return made, "made-up recordings of 4,000 events"


def _emulator(data, device, threads) -> Case:
    """Return the emulator; nobody else's camera model makes these recordings."""
    n = 40 if device == "cpu" else 2_000
    images, index = data.train_images[:n], np.arange(n)
    p = parameters.load_parameters()
    key = camera.recording_keys(index, 0)
    path, end = camera.motion_paths(p, key)
    return Case(
        "nmnist emulator",
        ours=lambda: camera.emulate(images, index, 0, p, device),
        peer=lambda: gpu.emulate(images, key, path, end, p, "cpu"),
        unit="ms per recording", per_call=n, device=device, threads=threads,
        note="peer: the same model in PyTorch on the CPU; 1000 / ours are the recordings per s",
    )  # fmt: skip


def cases(data, device, threads):
    """Return the emulator; on the CPU noise filter and time bins too."""
    if device != "cpu":
        return [_emulator(data, device, threads)]
    found, what = recordings()
    events = np.concatenate(found)
    offsets = np.concatenate(([0], np.cumsum([len(r) for r in found])))
    kept, kept_offsets = denoise(events, offsets, FILTER_TIME)
    stock, stock_kept = (
        [
            make_structured_array(*binary_format.unpack(e[a:b]), dtype=NMNIST.dtype)
            for a, b in zip(o[:-1], o[1:], strict=True)
        ]
        for e, o in ((events, offsets), (kept, kept_offsets))
    )
    tonic_denoise = Denoise(filter_time=FILTER_TIME)
    to_frame = ToFrame(sensor_size=NMNIST.sensor_size, time_window=T_WINDOW)
    common = {"unit": "ms per recording", "per_call": N_RECORDINGS, "threads": 1}
    return [
        _emulator(data, device, threads),
        Case(
            "nmnist denoise", ours=lambda: denoise(events, offsets, FILTER_TIME),
            peer=lambda: [tonic_denoise(r) for r in stock],
            note=f"{what}, filter_time 10 ms; peer: tonic Denoise", **common,
        ),
        Case(
            "nmnist binning",
            ours=lambda: bin_events(kept, kept_offsets, T_WINDOW, NUM_STEPS),
            peer=lambda: [to_frame(r) for r in stock_kept],
            note=f"{what}, t_window 2 ms; peer: tonic ToFrame, dense frames; ours: sparse, "
            "repeats merged", **common,
        ),
    ]  # fmt: skip
