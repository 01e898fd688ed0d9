"""Training of the from-scratch network 784-250-10 with hand-written local surrogate gradients.

Source: poisson-mlp-report.md, Step 3 and "Challenges". Claims P1-c to P1-i.
Deviations and choices: claims.yaml. The learning rule: respike.sources.poisson_mlp.cpu.
Cost: about 3 s per epoch of 10,000 images on one core.
"""

import time

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.poisson_mlp.cpu import initial_weights, spike_counts, trace_sample, train_epoch
from respike.sources.poisson_mlp.settings import Train as Settings
from respike.spiking.encoding import encode, stream_key
from respike.spiking.energy import costs

VAL_START = 50_000  # validation images are the last training images, never trained on
STREAM_VAL, STREAM_TEST = 1_000_000, 1_000_001  # random streams; epoch e uses stream e


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Train, follow the validation accuracy, test once at the end."""
    s = settings
    if s.n_train > VAL_START:
        raise ValueError(f"n_train: found {s.n_train}, allowed: at most {VAL_START}")
    images = data.train_images.reshape(-1, 784)
    train_index = np.arange(s.n_train)
    val_index = np.arange(VAL_START, VAL_START + s.n_val)
    test_images = data.test_images[: s.n_test].reshape(-1, 784)
    test_labels = data.test_labels[: s.n_test]
    val_words = encode(images[val_index], val_index, s.num_steps, stream_key(seed, STREAM_VAL))
    val_labels = data.train_labels[val_index]

    w1, w2 = initial_weights(784, s.n_hidden, 10, s.w_std, seed)
    rng = np.random.default_rng([seed, 1])
    curves = {k: [] for k in ("train_accuracy", "val_accuracy", "hidden_rate", "grad_max")}
    clipped = entries = train_cpu_s = 0

    def train_on(words, labels, order):
        return train_epoch(
            words,
            labels,
            order,
            w1,
            w2,
            s.beta,
            s.v_thresh,
            s.lr,
            s.surrogate_alpha,
            s.surrogate_clip,
            s.grad_clip,
            s.target_rate,
            s.error,
            s.batch_size,
            s.num_steps,
        )

    train_on(val_words, val_labels, np.arange(0))  # no image: compiles before the time is taken
    for epoch in range(s.epochs):
        start = time.process_time()  # CPU time: other jobs share the machine
        words = encode(images[train_index], train_index, s.num_steps, stream_key(seed, epoch))
        correct, grad_max, n_clipped, n_entries = train_on(
            words, data.train_labels[train_index], rng.permutation(s.n_train)
        )
        train_cpu_s += time.process_time() - start
        clipped, entries = clipped + n_clipped, entries + n_entries
        counts, hidden = spike_counts(val_words, w1, w2, s.beta, s.v_thresh, s.num_steps)
        curves["train_accuracy"].append(correct / s.n_train)
        curves["val_accuracy"].append((counts.argmax(axis=1) == val_labels).mean())
        curves["hidden_rate"].append(hidden.mean() / (s.num_steps * s.n_hidden))
        curves["grad_max"].append(grad_max)
        progress("epoch", epoch + 1, s.epochs, val_accuracy=curves["val_accuracy"][-1])

    test_words = encode(
        test_images, np.arange(len(test_images)), s.num_steps, stream_key(seed, STREAM_TEST)
    )
    counts, hidden = spike_counts(test_words, w1, w2, s.beta, s.v_thresh, s.num_steps)
    predictions = counts.argmax(axis=1)
    below = max(
        s.v_thresh - v.min()
        for word in test_words[:500]
        for v in trace_sample(word, w1, w2, s.beta, s.v_thresh, s.num_steps)[::2]
    )  # how far below the threshold a potential gets
    input_spikes = test_images.sum() / 255 / len(test_images) * s.num_steps  # expected, per image
    hidden_rate = hidden.mean() / (s.num_steps * s.n_hidden)
    sizes = (784, s.n_hidden, 10)
    cost = costs(sizes, (input_spikes, hidden.mean()), s.num_steps)
    return Result(
        metrics={
            "test_accuracy_final": (predictions == test_labels).mean(),
            "val_accuracy_final": curves["val_accuracy"][-1],
            "val_accuracy_first_epoch": curves["val_accuracy"][0],
            "train_accuracy_final": curves["train_accuracy"][-1],
            "hidden_rate": hidden_rate,
            "hidden_silent_fraction": 1 - hidden_rate,
            "output_rate": counts.mean() / s.num_steps,
            "input_rate": input_spikes / (784 * s.num_steps),
            "grad_max": max(curves["grad_max"]),
            "grad_max_first_epoch": curves["grad_max"][0],
            "clipped_fraction": clipped / entries,
            "weight_max": max(abs(w1).max(), abs(w2).max()),
            "weights_finite": float(np.isfinite(w1).all() and np.isfinite(w2).all()),
            "exponent_reached": s.surrogate_alpha * below,
            "train_cpu_s_per_1000": train_cpu_s / s.epochs / s.n_train * 1000,
            **cost,
        },
        series=curves,
        network=Network(
            name=f"{'-'.join(map(str, sizes))}, T = {s.num_steps}",
            data_set="mnist",
            rule="local surrogate gradients",
            n_neurons=s.n_hidden + 10,
            n_parameters=w1.size + w2.size,
            n_state=s.n_hidden + 10,
            num_steps=s.num_steps,
            spikes=input_spikes + hidden.mean() + counts.sum(axis=1).mean(),
            synaptic_operations=cost["synaptic_operations"],
            macs=cost["ann_macs"],
            n_train=s.n_train,
            presentations=s.n_train * s.epochs,
            train_s=train_cpu_s,
        ),
        arrays={
            "predictions": predictions.astype(np.uint8),
            "labels": test_labels.astype(np.uint8),
            "counts_first_ten": counts[:10],
            "images_first_ten": data.test_images[:10],
            "labels_first_ten": test_labels[:10],
        },
    )
