"""The emulated camera on a GPU: many recordings at once, one step of 1 ms after the other.

The same model, operation by operation, as respike.data.emulator.cpu, on tensors (recording, pixel).
Float operations round in another order, so single events may differ.
"""

import numpy as np
import torch

from respike.data.emulator.cpu import background
from respike.data.emulator.parameters import (
    FINE,
    MARGIN,
    SENSOR,
    SIDE,
    TAPS,
    Parameters,
    blur_taps,
    follow,
)

TOGETHER = 1000  # recordings: about 1 GB on the GPU
PIXELS = SENSOR * SENSOR


def emulate(images, key, path, end, p: Parameters, device="cuda"):
    """Return (events, counts); see respike.data.emulator.emulate."""
    events, counts = [], []
    for start in range(0, len(images), TOGETHER):
        part = slice(start, start + TOGETHER)
        one = _together(images[part], key[part], path[part], end[part], p, device)
        events.append(one[0])
        counts.append(one[1])
    if not events:
        return np.empty(0, np.uint32), np.empty(0, np.int64)
    return np.concatenate(events), np.concatenate(counts)


def _draw(key: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    # int64 wraps around as uint64 does; only the shifts need the sign bits cleared.
    z = key + number * _signed(0xD1342543DE82EF95) + _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >> 63 else constant


def _shift(z: torch.Tensor, bits: int) -> torch.Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _normal(key: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    z = _draw(key, number)
    total = (z & 65535) + (_shift(z, 16) & 65535) + (_shift(z, 32) & 65535) + _shift(z, 48)
    return (total.float() - 131070.0) * np.float32(1.0 / 37837.23).item()


def _uniform(key: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    return _shift(_draw(key, number), 40).float() * (1.0 / 16777216.0)


def _fine_images(images: np.ndarray, p: Parameters, device: str) -> torch.Tensor:
    """Return the darkness (n, SIDE * SIDE) that the turned and scaled images give."""
    taps, first = blur_taps(p.blur)
    weights = np.zeros((SIDE, 28), np.float32)
    for tap in range(TAPS):
        row = first + tap
        inside = (row >= 0) & (row < 28)
        weights[np.nonzero(inside)[0], row[inside]] = taps[inside, tap]
    weights = torch.from_numpy(weights).to(device)
    value = weights @ torch.from_numpy(images).to(device).float() @ weights.T
    value = value * np.float32(p.contrast).item() * np.float32(1 / 255).item()
    dark = torch.where(value > 1e-4, -torch.log(1 - value), 0.0)
    at = torch.arange(SIDE, device=device, dtype=torch.float32) - (SIDE - 1) / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    a = p.affine.astype(np.float32)
    at_x = x + a[0, 0].item() * x + a[0, 1].item() * y + (SIDE - 1) / 2
    at_y = y + a[1, 0].item() * x + a[1, 1].item() * y + (SIDE - 1) / 2
    column, row = at_x.floor().long(), at_y.floor().long()
    fx, fy = at_x - column, at_y - row
    inside = (column >= 0) & (row >= 0) & (column < SIDE - 1) & (row < SIDE - 1)
    column, row = column.clamp(0, SIDE - 2), row.clamp(0, SIDE - 2)
    upper = dark[:, row, column] * (1 - fx) + dark[:, row, column + 1] * fx
    below = dark[:, row + 1, column] * (1 - fx) + dark[:, row + 1, column + 1] * fx
    return torch.where(inside, upper * (1 - fy) + below * fy, 0.0).reshape(len(images), -1)


def _together(images, key, path, end, p: Parameters, device: str):
    n = len(images)
    fine = _fine_images(images, p, device)
    cells = torch.arange(PIXELS, device=device)
    pixel_at = (cells // SENSOR * SIDE + cells % SENSOR) * FINE  # in the fine image
    hashed = torch.from_numpy(key.view(np.int64)).to(device)[:, None]
    place = torch.from_numpy(path).to(device)  # (n, steps + 1, 2)
    ends = torch.from_numpy(end).to(device)
    mean_on = torch.from_numpy(p.threshold_on.reshape(-1)).to(device)
    mean_off = torch.from_numpy(p.threshold_off.reshape(-1)).to(device)
    first_number = cells << 12

    def level_at(k: int) -> torch.Tensor:
        at = (0.5 - SENSOR / 2 - place[:, k]) * FINE + (SIDE - 1) / 2
        at = at.clamp(0, 2 * MARGIN * FINE - 2)
        whole = at.floor()
        (fx, fy), (j, i) = (at - whole).T[:, :, None], whole.long().T
        index = (i * SIDE + j)[:, None] + pixel_at
        level = (1 - fy) * (1 - fx) * fine.gather(1, index)
        level += (1 - fy) * fx * fine.gather(1, index + 1)
        level += fy * (1 - fx) * fine.gather(1, index + SIDE)
        return level + fy * fx * fine.gather(1, index + SIDE + 1)

    def thresholds(chosen_key, cell, number):
        on = mean_on[cell] * (1 + p.threshold_jitter * _normal(chosen_key, number))
        return on, mean_off[cell] * (1 + p.threshold_jitter * _normal(chosen_key, number + 1))

    level = level_at(0)
    on, off = thresholds(hashed, cells, first_number)
    u = 0.5 + p.initial_spread * (_uniform(hashed, first_number + 2) - 0.5)
    reference = level + u * on - (1 - u) * off
    blind_until = torch.zeros_like(level)
    again = torch.zeros_like(level, dtype=torch.int32)  # first step in which a pixel sees
    fired = torch.zeros_like(level, dtype=torch.int64)
    recordings, packed, part = [], [], follow(p)
    for k in range(1, path.shape[1]):
        before, level = level, level + part * (level_at(k) - level)
        change = level - reference
        r, c = torch.nonzero(
            ((change > off) | (change < -on)) & (again <= k), as_tuple=True
        )  # one wait for the GPU in each step
        rises = change[r, c] > off[r, c]
        threshold = torch.where(rises, off[r, c], -on[r, c])
        done = before[r, c] - reference[r, c]
        moved = change[r, c] - done
        crossed = torch.where(moved == 0, 0.0, (threshold - done) / moved)
        t = (k - 1) + torch.maximum(crossed, (blind_until[r, c] - (k - 1)).clamp(min=0))
        reference[r, c] += threshold
        fired[r, c] += 1
        blind_until[r, c] = t + p.refractory
        again[r, c] = (t + p.refractory).ceil().int().clamp(min=k + 1)
        number = first_number[c] + 4 * fired[r, c]
        own = hashed[r, 0]
        on[r, c], off[r, c] = thresholds(own, c, number)
        t = (t + p.time_jitter * _normal(own, number + 2)).abs()
        kept = t < ends[r]
        stamp = (t * 1000).long()
        event = stamp << 13 | (~rises).long() << 12 | c // SENSOR << 6 | c % SENSOR
        recordings.append(r[kept])
        packed.append(event[kept])
    room = np.empty(1000, np.uint32)
    noise, n_noise = [], np.zeros(n, np.int64)
    for i in range(n):
        rates = np.float32(p.noise_on), np.float32(p.noise_off)
        n_noise[i] = background(key[i], *rates, end[i], room)
        noise.append(room[: n_noise[i]].copy())
    recordings.append(torch.from_numpy(np.repeat(np.arange(n), n_noise)).to(device))
    packed.append(torch.from_numpy(np.concatenate(noise).astype(np.int64)).to(device))
    whole = (torch.cat(recordings) << 32 | torch.cat(packed)).sort().values
    counts = torch.bincount(whole >> 32, minlength=n).cpu().numpy()
    return (whole & 0xFFFFFFFF).cpu().numpy().astype(np.uint32), counts
