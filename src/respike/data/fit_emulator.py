"""Fit the emulated camera to real recordings: python -m respike.data.fit_emulator --help.

Direct maximum likelihood is out of reach for a pixel that fires at thresholds, so the fit is
indirect inference (Gourieroux, Monfort & Renault 1993): a simpler model, whose likelihood is easy,
is fitted to the real recordings and to emulated ones of the same images, and the emulator is moved
by the difference until both give the same. The simpler model (RateModel) has events as a Poisson
process whose rate is the change of darkness times a gain; it has the same motion and optics.
The pixels' thresholds follow from the number of events of every pixel, blur and time constants from
the intervals between a pixel's events, the background from pixels that the digit never reaches.

It takes about ten minutes on two cores and writes emulator.json with its provenance.
"""

import argparse
import dataclasses
import datetime
import json
import sys

import numpy as np
import torch
from torch.nn import functional as F

from respike.data import mnist
from respike.data.emulator import camera, parameters
from respike.data.emulator.parameters import FINE, SENSOR, Parameters
from respike.data.nmnist import event_table
from respike.data.nmnist.event_frames import bin_events
from respike.data.nmnist.statistics import intervals, pixel_counts
from respike.runs import command, files, foreign, owned, provenance
from respike.runs.progress import Progress

BIN_MS = 2.5
END_MS = 315.0  # the latest event of 500 real recordings comes at 315.1 ms
RESTS = np.array([[88.0, 108.0], [212.0, 226.0]])  # lows of the mean event rate
EDGES = np.arange(0, END_MS + BIN_MS / 2, BIN_MS)
BATCH = 16
PAD = 8  # px of background around the image


class RateModel(torch.nn.Module):
    """Expected ON and OFF events per pixel and bin for a moving image."""

    def __init__(self, n: int):
        super().__init__()

        def parameter(value):
            return torch.nn.Parameter(torch.as_tensor(np.asarray(value), dtype=torch.float32))

        # A rough start, read off source-notes.md: three straight lines between three rests.
        corners = [0, 80, 115, 200, 225, 300, END_MS]
        start = [
            np.interp(EDGES, corners, [-3, -1, -1, 3, 3, -2, -2]),
            np.interp(EDGES, corners, [-2, 3, 3, -2, -2, -2, -2]),
        ]
        self.motion = parameter(np.stack(start, 1))  # (n_edges, 2)
        self.variations = parameter(np.zeros((n, 4)))  # delays in units of 4 ms, offsets of 0.1 px
        self.log_blur = parameter(np.log(0.55))
        self.contrast_logit = parameter(1.0)
        self.affine = parameter(np.zeros((2, 2)))
        self.log_gain = parameter(np.full((2, SENSOR, SENSOR), 1.3))  # OFF, ON
        self.log_background = parameter([-10.0, -10.0])

    def estimates(self) -> dict[str, np.ndarray]:
        """Return what the emulator shares with this model."""
        return {
            "motion": self.motion.detach().numpy().astype(float),
            "blur": float(self.log_blur.detach().exp()),
            "contrast": float(torch.sigmoid(self.contrast_logit.detach())),
            "affine": self.affine.detach().numpy().astype(float),
        }

    def darkness(self, images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return (batch, n_edges, 34, 34) for images (batch, 28, 28) in [0, 1]."""
        half = 14 + PAD
        fine = (torch.arange(2 * half * FINE) + 0.5) / FINE - half
        edges = torch.arange(29.0) - 14
        below = torch.erf((edges - fine[:, None]) / (self.log_blur.exp() * 2**0.5)) / 2
        weights = below.diff(dim=1)  # (side, 28): the Gaussian over each square of the image
        blurred = (weights @ images @ weights.T)[:, None]
        dark = -torch.log1p(-torch.sigmoid(self.contrast_logit) * blurred)
        pixel = torch.arange(SENSOR) - (SENSOR - 1) / 2
        y, x = torch.meshgrid(pixel, pixel, indexing="ij")
        turned = torch.stack([x, y], -1)
        turned = turned + turned @ self.affine.T
        place = self._place(chosen)  # (batch, n_edges, 2)
        # Displacements turn with the sensor: the emulator shifts before it turns.
        shift = place + place @ self.affine.T
        grid = (turned[None, None] - shift[:, :, None, None]) / half
        batch, n_edges = grid.shape[:2]
        grid = grid.reshape(batch, n_edges * SENSOR, SENSOR, 2)
        seen = F.grid_sample(dark, grid, align_corners=False)
        return seen.reshape(batch, n_edges, SENSOR, SENSOR)

    def _place(self, chosen: torch.Tensor) -> torch.Tensor:
        v = self.variations[chosen] * torch.tensor([4.0, 4.0, 0.1, 0.1])
        knots = torch.tensor([0.0, *RESTS[0], *RESTS[1], END_MS])
        t = torch.as_tensor(EDGES, dtype=torch.float32)
        # Weight of each delay at each time, as in respike.data.emulator.motion_paths.
        second = np.interp(EDGES, knots, [0, 0, 1, 1, 0, 0])
        third = np.interp(EDGES, knots, [0, 0, 0, 0, 1, 1])
        delay = (
            v[:, :1] * torch.as_tensor(second).float() + v[:, 1:2] * torch.as_tensor(third).float()
        )
        at = ((t - delay) / BIN_MS).clamp(0, len(EDGES) - 1.001)
        low = at.detach().floor().long()
        part = (at - low)[..., None]
        return self.motion[low] * (1 - part) + self.motion[low + 1] * part + v[:, None, 2:]

    def rates(self, images, chosen) -> torch.Tensor:
        """Return (batch, 2, n_bins, 34, 34), OFF and ON events expected."""
        change = self.darkness(images, chosen).diff(dim=1)
        width = 0.01
        signed = torch.stack([change, -change], 1) * self.log_gain.exp()[None, :, None]
        return F.softplus(signed / width) * width + self.log_background.exp()[:, None, None, None]


def fit_rates(model: RateModel, images, events, offsets, steps: int, label: str, own_variations):
    """Fit `model` to recordings by Adam; images (n, 28, 28) uint8, events and offsets as binned."""
    n = len(images)
    pictures = torch.from_numpy(images).float() / 255
    bins = bin_events(events, offsets, int(BIN_MS * 1000), len(EDGES) - 1, 0, int(END_MS * 1000))
    rows = np.repeat(np.arange(n * (len(EDGES) - 1)), np.diff(bins.starts))
    counts = np.zeros((n * (len(EDGES) - 1), 2 * SENSOR**2), np.uint8)
    counts[rows, bins.inputs] = bins.counts
    counts = torch.from_numpy(counts).reshape(n, len(EDGES) - 1, 2, SENSOR, SENSOR).transpose(1, 2)
    groups = [
        {"params": [model.motion], "lr": 0.03},
        {"params": [model.log_blur, model.contrast_logit], "lr": 0.02},
        {"params": [model.log_gain, model.log_background], "lr": 0.03},
        {"params": [model.affine], "lr": 0.002},
    ]
    if own_variations:
        groups.append({"params": [model.variations], "lr": 0.1})
    optimiser = torch.optim.Adam(groups)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1)
    rng, progress = np.random.default_rng(0), Progress(f"fit_emulator {label}")
    order = np.array([], int)
    for step in range(steps):
        if len(order) < BATCH:
            order = rng.permutation(n)
        chosen, order = torch.from_numpy(order[:BATCH]), order[BATCH:]
        expected = model.rates(pictures[chosen], chosen)
        seen = counts[chosen].float()
        loss = (expected - seen * torch.log(expected)).sum() / len(chosen)
        # Weak priors: variations of the size of their units, gains within 30 % of each other.
        spread = model.log_gain - model.log_gain.mean((1, 2), keepdim=True)
        prior = (model.variations[chosen] ** 2).sum() / len(chosen) / 2 + (spread**2).sum() * 5 / n
        optimiser.zero_grad()
        (loss + prior).backward()
        optimiser.step()
        schedule.step()
        progress("step", step + 1, steps, loss=loss.item())


# ------------------------------------------------------------------------------- thresholds, times


def set_thresholds(p: Parameters, images, index, real: np.ndarray, rounds: int) -> Parameters:
    """Move the thresholds until every pixel gives as many events as it really gave.

    real (2, 34, 34) as from `pixel_counts`. Every round draws a pixel to the median as much as if
    100 events spoke for that, so that pixels with few events stay near the others. No threshold is
    more than 60 % away from the median: a pixel that fires by itself has no low threshold.
    """
    weight = real / (real + 100)
    for turn in range(rounds):
        events, _ = camera.emulate(images, index, 1000 + turn, p)
        ours = pixel_counts(events)
        total = ours.sum((1, 2)) / real.sum((1, 2))
        fixed = {}
        for polarity, name in enumerate(("threshold_off", "threshold_on")):
            now = np.log(getattr(p, name))
            if turn >= rounds - 2:  # at last, the sum over all pixels
                moved = now + 0.8 * np.log(total[polarity])
            else:
                ratio = (ours[polarity] + 1) / (real[polarity] + 1)
                w = weight[polarity]
                moved = w * (now + 0.8 * np.log(ratio)) + (1 - w) * np.median(now)
            middle = np.exp(np.median(moved))
            fixed[name] = np.exp(moved).clip(0.4 * middle, 1.6 * middle).astype(np.float32)
        p = dataclasses.replace(p, **fixed)
    return p


def choose_pixel(p: Parameters, images, index, real_events, real_offsets) -> Parameters:
    """Choose blur and time constants from grids, one after another.

    By the intervals between events and by the number of events of each recording. The blur of the
    RateModel is no guide to that of the camera: the photoreceptor's lag looks like blur to it.
    """
    real, counts = intervals(real_events, real_offsets), pixel_counts(real_events)
    grids = {
        "photoreceptor": (1.0, 1.5, 2.0, 2.5, 3.0),
        "blur": (0.40, 0.44, 0.48, 0.52, 0.56),
        "refractory": (1.5, 1.8, 2.1, 2.4),
        "threshold_jitter": (0.0, 0.02, 0.04, 0.08),
        "time_jitter": (0.05, 0.1, 0.15, 0.2, 0.3),
        "initial_spread": (0.5, 0.7, 0.8, 0.9, 1.0),
    }
    for name, values in grids.items():
        found = []
        for value in values:
            tried = dataclasses.replace(p, **{name: value})
            tried = set_thresholds(tried, images, index, counts, 2)
            events, n = camera.emulate(images, index, 2000, tried)
            ours = intervals(events, np.concatenate(([0], np.cumsum(n))))
            if name == "initial_spread":  # it acts on the first events alone
                first = [((e >> 13) < 20_000).sum() for e in (events, real_events)]
                distance = abs(first[0] / first[1] - 1)
            else:
                distance = np.abs(ours - real).sum() / real.sum()
                distance += np.std(n / np.diff(real_offsets))
            found.append((distance, value, tried))
            print(f"fit_emulator: {name} {value}: distance {distance:.4f}", flush=True)
        p = min(found, key=lambda one: one[0])[2]
    return p


def background(p: Parameters, images, events, offsets) -> tuple[float, float]:
    """Return ON and OFF events per pixel and ms where the digit never comes."""
    reach = 5 + 3  # px: motion, blur, and the pixels beside
    far = np.zeros((len(images), 64, 64), bool)
    for i, image in enumerate(images):
        rows, columns = np.nonzero(image.any(1))[0] + 3, np.nonzero(image.any(0))[0] + 3
        far[i, :SENSOR, :SENSOR] = True
        far[i, max(rows[0] - reach, 0) : rows[-1] + reach + 1,
            max(columns[0] - reach, 0) : columns[-1] + reach + 1] = False  # fmt: skip
    recording = np.repeat(np.arange(len(images)), np.diff(offsets))
    counted = far[recording, events >> 6 & 63, events & 63]
    duration = far.sum() * p.variations[:, 4].mean()
    on = (events >> 12 & 1).astype(bool)
    return float((counted & on).sum() / duration), float((counted & ~on).sum() / duration)


# -------------------------------------------------------------------------------------------- fit


def fit(images, index, events, offsets, steps: int, rounds: int) -> Parameters:
    """Return the camera fitted to recordings `events`, `offsets` of `images`."""
    model = RateModel(len(images))
    fit_rates(model, images, events, offsets, steps, "real recordings", True)
    real = model.estimates()
    variations = model.variations.detach().numpy() * [4.0, 4.0, 0.1, 0.1]
    ends = (events[offsets[1:] - 1] >> 13) / 1000.0
    gain = model.log_gain.detach().exp().numpy()
    p = Parameters(
        times=EDGES,
        **{**real, "blur": 0.48},
        rests=RESTS,
        variations=np.column_stack([variations, ends]),
        threshold_off=(0.6 / gain[0]).astype(np.float32),
        threshold_on=(0.6 / gain[1]).astype(np.float32),
        threshold_jitter=0.02,
        photoreceptor=2.0,
        refractory=1.8,
        time_jitter=0.15,
        initial_spread=0.7,
        noise_on=0.0,
        noise_off=0.0,
    )
    on, off = background(p, images, events, offsets)
    p = dataclasses.replace(p, noise_on=on, noise_off=off)
    counts = pixel_counts(events)
    p = set_thresholds(p, images, index, counts, 6)
    for turn in range(rounds):
        ours, n = camera.emulate(images, index, turn, p)
        chosen = camera.draw_variations(p, camera.recording_keys(index, turn))
        copy = RateModel(len(images))
        copy.load_state_dict(model.state_dict())
        with torch.no_grad():
            copy.variations.copy_(torch.from_numpy(chosen[:, :4] / [4.0, 4.0, 0.1, 0.1]))
        ends = np.concatenate(([0], np.cumsum(n)))
        fit_rates(copy, images, ours, ends, steps // 2, f"round {turn + 1} of {rounds}", False)
        emulated = copy.estimates()
        shared = ("motion", "contrast", "affine")
        moved = {name: getattr(p, name) + real[name] - emulated[name] for name in shared}
        away = np.abs(real["motion"] - emulated["motion"]).max()
        print(f"fit_emulator: round {turn + 1}: motion off by at most {away:.3f} px", flush=True)
        p = set_thresholds(dataclasses.replace(p, **moved), images, index, counts, 5)
        if turn in (0, rounds - 2):  # the second time with the motion found
            p = choose_pixel(p, images, index, events, offsets)
            p = set_thresholds(p, images, index, counts, 5)
    return p


def fit_thresholds(p: Parameters, images, index, events) -> Parameters:
    """Return the camera `p` with the thresholds fitted anew, all else as it is."""
    return set_thresholds(p, images, index, pixel_counts(events), 8)


@command.ends("fit_emulator")
def main(arguments: list[str] | None = None) -> int:
    """Fit, write the file of parameters, return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m respike.data.fit_emulator",
        description="Fit the emulator of N-MNIST to real recordings of training images.",
        epilog="example: python -m respike.data.fit_emulator --recordings data/nmnist_real "
        "--mnist data/mnist",
    )
    parser.add_argument("--recordings", required=True, help="event table of real recordings")
    parser.add_argument("--mnist", required=True, help="folder of MNIST")
    parser.add_argument("--first", type=int, default=300, help="recordings to fit (default 300)")
    parser.add_argument("--steps", type=int, default=400, help="of the rate model (default 400)")
    parser.add_argument("--rounds", type=int, default=4, help="of inference (default 4)")
    parser.add_argument(
        "--thresholds-of", type=foreign.path, metavar="FILE",
        help="take all from this file of parameters and fit only the thresholds anew (a minute)",
    )  # fmt: skip
    parser.add_argument("--out", type=foreign.path, default=parameters.PARAMETERS)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    if options.out != parameters.PARAMETERS:  # which is made to be replaced, and git keeps it
        owned.check_new(options.out)
    table = event_table.load(options.recordings)
    data = mnist.load(options.mnist)
    if table.kind == "emulated" or "train" not in table.splits:
        print(f"error: {options.recordings}: no real training recordings", file=sys.stderr)
        return 1
    real = table.splits["train"]
    index = np.array(real.index[: options.first], np.int64)
    events, offsets = real.take(np.arange(len(index)))
    images, before = data.train_images[index], None
    if options.thresholds_of:
        before = json.loads(options.thresholds_of.read_text(encoding="utf-8"))["provenance"]
        start = parameters.load_parameters(options.thresholds_of)
        p = fit_thresholds(start, images, index, events)
    else:
        p = fit(images, index, events, offsets, options.steps, options.rounds)
    values = {
        name: np.asarray(value, dtype=np.float64).round(5 if name != "variations" else 3).tolist()
        for name, value in dataclasses.asdict(p).items()
    }
    values |= {name: float(f"{values_of:.3e}") for name, values_of in
               (("noise_on", p.noise_on), ("noise_off", p.noise_off))}  # fmt: skip
    about = {
        "what": "Parameters of respike.data.emulator.camera, fitted by respike.data.fit_emulator",
        "recordings": table.description,
        "recordings_sha256": real.sha256,
        "fitted_to_images": [int(index[0]), int(index[-1])],
        "mnist_sha256": data.sha256,
        "how": "thresholds alone, the rest as before"
        if before
        else f"rate model of {options.steps} steps, {options.rounds} rounds of inference",
        "code": provenance.code_digest("respike.data.fit_emulator"),
        "date": datetime.date.today().isoformat(),
    }
    if before:
        about["before"] = before
    # A line for each parameter: the file can be read, and a change of it too.
    lines = [f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
    head = json.dumps(about, indent=2).replace("\n", "\n  ")
    body = ",\n".join(lines)
    text = f'{{\n  "provenance": {head},\n  "parameters": {{\n{body}\n  }}\n}}\n'
    files.write_text(options.out, text)
    print(f"fit_emulator: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
