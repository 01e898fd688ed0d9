"""Forward pass of the untrained from-scratch network 784-100-10.

Source: poisson-mlp-report.md, Step 2. Claim P1-b. Ledger: claims.yaml.
Cost: seconds.
"""

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.poisson_mlp.cpu import initial_weights, spike_counts, trace_sample
from respike.sources.poisson_mlp.settings import Forward as Settings
from respike.spiking.encoding import encode, stream_key


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Classify with random weights; trace one image; measure activity against weight scale."""
    images = data.test_images[: settings.n_test].reshape(-1, 784)
    labels = data.test_labels[: settings.n_test]
    words = encode(images, np.arange(len(images)), settings.num_steps, stream_key(seed, 0))

    def classify(w_std):
        w1, w2 = initial_weights(784, settings.n_hidden, 10, w_std, seed)
        return (w1, w2), *spike_counts(
            words, w1, w2, settings.beta, settings.v_thresh, settings.num_steps
        )

    (w1, w2), counts, hidden = classify(settings.w_std)
    hidden_rates, output_rates = [], []
    for k, w_std in enumerate(settings.w_std_curve):
        _, c, h = classify(w_std)
        hidden_rates.append(h.mean() / (settings.num_steps * settings.n_hidden))
        output_rates.append(c.mean() / settings.num_steps)
        progress("weight scale", k + 1, len(settings.w_std_curve))
    v1, s1, v2, s2 = trace_sample(
        words[0], w1, w2, settings.beta, settings.v_thresh, settings.num_steps
    )
    return Result(
        metrics={
            # An image without any output spike has no most active neuron.
            "images_with_output_spike": (counts.sum(axis=1) > 0).mean(),
            "images_with_unique_winner": (
                (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
            ).mean(),
            "test_accuracy_untrained": (counts.argmax(axis=1) == labels).mean(),
            "hidden_rate": hidden.mean() / (settings.num_steps * settings.n_hidden),
            "output_rate": counts.mean() / settings.num_steps,
        },
        series={
            "w_std": list(settings.w_std_curve),
            "hidden_rate_by_w_std": hidden_rates,
            "output_rate_by_w_std": output_rates,
        },
        arrays={
            "image": data.test_images[0],
            "label": labels[:1],
            "counts_first": counts[0],
            "predictions": counts.argmax(axis=1).astype(np.uint8),
            "hidden_spikes": s1.astype(np.uint8),
            "hidden_mem": v1,
            "output_spikes": s2.astype(np.uint8),
            "output_mem": v2,
        },
    )
