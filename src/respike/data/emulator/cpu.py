"""The emulated camera on the CPU: one recording after the other, compiled.

The image is blurred once onto a grid of FINE samples per pixel, stored as FINE x FINE planes of
one sample per pixel. At any time all sensor pixels sit at the same place within their samples, so
one step of 1 ms is four planes times four weights, over contiguous memory.
"""

import math

import numpy as np

from respike.data.emulator.parameters import (
    FINE,
    MARGIN,
    PITCH,
    SENSOR,
    SIDE,
    TAPS,
    Parameters,
    blur_taps,
    follow,
)
from respike.spiking.numba_cache import njit, prange, uint64

CENTRE = (SIDE - 1) / 2
CELLS = SENSOR * PITCH  # the sensor in rows of PITCH, so that planes and pixels run in step
CAPACITY = 12_000  # events of a recording; the longest real one of 500 has 7,152
NEVER = np.float32(1e9)


def emulate(images, key, path, end, p: Parameters, device="cpu"):
    """Return (events, counts); see respike.data.emulator.emulate."""
    numbers = p.refractory, p.threshold_jitter, p.time_jitter, p.initial_spread
    numbers = np.array([*numbers, follow(p), p.noise_on, p.noise_off], np.float32)
    optics = *blur_taps(p.blur), np.float32(p.contrast), p.affine.astype(np.float32)
    counts = np.zeros(len(images), np.int64)
    capacity = CAPACITY
    while True:
        out = np.empty((len(images), capacity), np.uint32)
        pixels = p.threshold_on, p.threshold_off, numbers
        _emulate_all(images, key, path, end, optics, pixels, out, counts)
        if not len(counts) or counts.max() <= capacity:
            break
        capacity = int(counts.max())  # an image with far more edges than a digit
    return np.concatenate([*(out[i, :n] for i, n in enumerate(counts)), out[:0, 0]]), counts


@njit(cache=True)
def draw(key, number):
    """Return 64 random bits: the hash of the recording's key and the number of the draw."""
    z = key + uint64(number) * uint64(0xD1342543DE82EF95) + uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@njit(cache=True)
def normal(key, number):
    """Return a number of mean 0 and deviation 1: the sum of four uniform ones of 16 bits."""
    z = draw(key, number)
    low = (z & uint64(65535)) + ((z >> uint64(16)) & uint64(65535))
    high = ((z >> uint64(32)) & uint64(65535)) + (z >> uint64(48))
    return (np.float32(low + high) - np.float32(131070.0)) * np.float32(1.0 / 37837.23)


@njit(cache=True)
def uniform(key, number):
    """Return a number of [0, 1)."""
    return np.float32(draw(key, number) >> uint64(40)) * np.float32(1.0 / 16777216.0)


@njit(cache=True)
def background(key, rate_on, rate_off, end, out):
    """Put background events, in no order, into `out`; return how many."""
    n, number = 0, SENSOR * SENSOR << 12
    for polarity in range(2):
        mean = (rate_on if polarity else rate_off) * end * SENSOR * SENSOR
        number += 1
        u, probability, total = uniform(key, number), math.exp(-mean), math.exp(-mean)
        count = 0
        while u > total and count < 1000:  # the Poisson distribution, inverted
            count += 1
            probability *= mean / count
            total += probability
        for _ in range(count):
            cell = int(uniform(key, number + 1) * (SENSOR * SENSOR))
            t = int(uniform(key, number + 2) * end * 1000)
            number += 2
            if n < len(out):
                out[n] = t << 13 | polarity << 12 | (cell // SENSOR) << 6 | cell % SENSOR
            n += 1
    return min(n, len(out))


@njit(cache=True)
def _fine_image(image, optics, planes):
    """Fill `planes` (FINE, FINE, PITCH, PITCH) with the darkness; return its first and last row."""
    weights, first, contrast, affine = optics
    blurred = np.empty(28, np.float32)
    dark = np.empty((SIDE + 2, SIDE + 2), np.float32)
    planes[:] = 0
    top, bottom, left, right = 28, -1, 28, -1
    for i in range(28):
        for j in range(28):
            if image[i, j]:
                top, bottom = min(top, i), max(bottom, i)
                left, right = min(left, j), max(right, j)
    if bottom < 0:
        return 0, -1
    reach = TAPS // 2 + (PITCH - 28) // 2
    y0, y1 = (top + reach - TAPS + 1) * FINE, (bottom + reach + 1) * FINE
    x0, x1 = (left + reach - TAPS + 1) * FINE, (right + reach + 1) * FINE
    dark[: y1 - y0 + 2, : x1 - x0 + 2] = 0
    for i in range(y0, y1):
        blurred[left : right + 1] = 0
        for tap in range(TAPS):
            row = first[i] + tap
            if top <= row <= bottom:
                for j in range(left, right + 1):
                    blurred[j] += weights[i, tap] * image[row, j]
        for j in range(x0, x1):
            intensity = np.float32(0)
            for tap in range(TAPS):
                column = first[j] + tap
                if left <= column <= right:
                    intensity += weights[j, tap] * blurred[column]
            value = contrast * intensity * np.float32(1 / 255)
            if value > 1e-4:
                dark[i - y0 + 1, j - x0 + 1] = -math.log(np.float32(1) - value)
    # Turn and scale. Three samples more on each side: the corners move by less.
    low, high = max(y0 - 3, 0), min(y1 + 3, SIDE)
    for i in range(low, high):
        y = np.float32(i - CENTRE)
        for j in range(max(x0 - 3, 0), min(x1 + 3, SIDE)):
            x = np.float32(j - CENTRE)
            at_x = x + affine[0, 0] * x + affine[0, 1] * y + np.float32(CENTRE - x0 + 1)
            at_y = y + affine[1, 0] * x + affine[1, 1] * y + np.float32(CENTRE - y0 + 1)
            if 0 <= at_x < x1 - x0 + 1 and 0 <= at_y < y1 - y0 + 1:
                column, row = int(at_x), int(at_y)
                fx, fy = at_x - np.float32(column), at_y - np.float32(row)
                upper = dark[row, column] + fx * (dark[row, column + 1] - dark[row, column])
                below = dark[row + 1, column]
                below += fx * (dark[row + 1, column + 1] - below)
                planes[i % FINE, j % FINE, i // FINE, j // FINE] = upper + fy * (below - upper)
    return low, high - 1


@njit(cache=True)
def _advance(p00, p01, p10, p11, weights, follow, before, level, reference, on, off, hit):
    """Move all pixels by one step: their new `level`, and which crossed a threshold."""
    w00, w01, w10, w11 = weights
    for i in range(len(level)):
        value = w00 * p00[i] + w01 * p01[i] + w10 * p10[i] + w11 * p11[i]
        value = before[i] + follow * (value - before[i])
        level[i] = value
        change = value - reference[i]
        hit[i] = (change > off[i]) | (change < -on[i])


@njit(cache=True)
def _insert(out, n, event):
    """Put an event into the first n of `out`, kept in order of time; it is nearly the last."""
    while n > 0 and out[n - 1] > event:
        out[n] = out[n - 1]
        n -= 1
    out[n] = event


@njit(cache=True)
def _emulate_one(image, key, path, end, optics, pixels, out):
    """Write the events of one recording in order into `out`; return how many there are."""
    threshold_on, threshold_off, numbers = pixels
    refractory, jitter, time_jitter, spread = numbers[0], numbers[1], numbers[2], numbers[3]
    planes = np.empty((FINE, FINE, PITCH, PITCH), np.float32)
    low, high = _fine_image(image, optics, planes)
    n = 0
    # Sensor rows that ever see the digit; the others have no change of light.
    top = max(0, int((low - CENTRE) / FINE + path[:, 1].min() + SENSOR / 2) - 2)
    bottom = min(SENSOR, int((high - CENTRE) / FINE + path[:, 1].max() + SENSOR / 2) + 3)
    if high >= 0 and bottom > top:
        cells = (bottom - top - 1) * PITCH + SENSOR
        both = np.zeros((2, cells), np.float32)
        reference = np.zeros(cells, np.float32)
        on, off = np.full(cells, NEVER), np.full(cells, NEVER)
        blind_until = np.zeros(cells, np.float32)
        events = np.zeros(cells, np.int64)
        hit = np.zeros((cells + 7) // 8 * 8, np.uint8)
        words = hit.view(np.uint64)
        # The pixels that see again in step k wait in row k % 8.
        waiting, n_waiting = np.zeros((8, cells), np.int32), np.zeros(8, np.int64)
        for k in range(len(path)):
            # Fine coordinates of sensor pixel (0, 0).
            x = (np.float32(0.5 - SENSOR / 2) - path[k, 0]) * FINE + np.float32(CENTRE)
            y = (np.float32(0.5 - SENSOR / 2) - path[k, 1]) * FINE + np.float32(CENTRE)
            x = min(max(x, np.float32(0)), np.float32(2 * MARGIN * FINE - 2))
            y = min(max(y, np.float32(0)), np.float32(2 * MARGIN * FINE - 2))
            j, i = int(x), int(y)
            fx, fy = x - np.float32(j), y - np.float32(i)
            a = (i // FINE + top) * PITCH
            b = ((i + 1) // FINE + top) * PITCH
            left, right = j // FINE, (j + 1) // FINE
            p00 = planes[i % FINE, j % FINE].ravel()[a + left : a + left + cells]
            p01 = planes[i % FINE, (j + 1) % FINE].ravel()[a + right : a + right + cells]
            p10 = planes[(i + 1) % FINE, j % FINE].ravel()[b + left : b + left + cells]
            p11 = planes[(i + 1) % FINE, (j + 1) % FINE].ravel()[b + right : b + right + cells]
            gx, gy = np.float32(1) - fx, np.float32(1) - fy
            weights = gy * gx, gy * fx, fy * gx, fy * fx
            part = numbers[4] if k else np.float32(1)
            level, before = both[k % 2], both[1 - k % 2]
            _advance(
                p00, p01, p10, p11, weights, part, before, level, reference, on, off, hit
            )  # fmt: skip
            if k == 0:
                for c in range(cells):
                    if c % PITCH >= SENSOR:
                        continue
                    row, column = top + c // PITCH, c % PITCH
                    number = (row * SENSOR + column) << 12
                    on[c] = threshold_on[row, column] * (1 + jitter * normal(key, number))
                    off[c] = threshold_off[row, column] * (1 + jitter * normal(key, number + 1))
                    u = np.float32(0.5) + spread * (uniform(key, number + 2) - np.float32(0.5))
                    reference[c] = level[c] + u * on[c] - (1 - u) * off[c]
                continue
            start = np.float32(k - 1)
            due = k % 8
            for w in range(n_waiting[due]):
                c = waiting[due, w]
                row, column = top + c // PITCH, c % PITCH
                number = ((row * SENSOR + column) << 12) + 4 * events[c]
                on[c] = threshold_on[row, column] * (1 + jitter * normal(key, number))
                off[c] = threshold_off[row, column] * (1 + jitter * normal(key, number + 1))
                hit[c] = 1
            n_waiting[due] = 0
            for word in range(len(words)):
                if words[word] == 0:
                    continue
                for c in range(word * 8, min(word * 8 + 8, cells)):
                    if hit[c] == 0:
                        continue
                    change = level[c] - reference[c]
                    if change > off[c]:
                        polarity, threshold = 0, off[c]
                    elif change < -on[c]:
                        polarity, threshold = 1, -on[c]
                    else:
                        continue
                    # Where within the step the threshold was crossed, or the pixel saw again.
                    # It may see at last what came while it was blind, the light long at rest.
                    done, crossed = before[c] - reference[c], np.float32(0)
                    if change != done:
                        crossed = (threshold - done) / (change - done)
                    t = start + max(crossed, max(blind_until[c] - start, np.float32(0)))
                    reference[c] += threshold
                    events[c] += 1
                    blind_until[c] = t + refractory
                    on[c], off[c] = NEVER, NEVER
                    again = max(int(math.ceil(blind_until[c])), k + 1) % 8
                    waiting[again, n_waiting[again]] = c
                    n_waiting[again] += 1
                    row, column = top + c // PITCH, c % PITCH
                    number = ((row * SENSOR + column) << 12) + 4 * events[c]
                    t = abs(t + time_jitter * normal(key, number + 2))
                    if t < end:
                        if n < len(out):
                            stamp = int(t * 1000)
                            event = stamp << 13 | polarity << 12 | row << 6 | column
                            _insert(out, n, np.uint32(event))
                        n += 1
    noise = np.empty(1000, np.uint32)
    n_noise = background(key, numbers[5], numbers[6], end, noise)
    for w in range(n_noise):
        if n < len(out):
            _insert(out, n, noise[w])
        n += 1
    return n


@njit(cache=True, parallel=True)
def _emulate_all(images, key, path, end, optics, pixels, out, counts):
    for i in prange(len(images)):
        counts[i] = _emulate_one(images[i], key[i], path[i], end[i], optics, pixels, out[i])
