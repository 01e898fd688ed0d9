"""What the document blames, tested: short presentation, large batches, few neurons.

Source: stdp-tables-paper.md, Section 4.2. Claims S-d; choice U11. One condition (an encoder, a
neuron model and a rule) is trained at each value of one setting, the others as in the tables; all
on the same images and with the same number of images, so that only the setting differs. Cost: a
few seconds per training of 6,400 images on one core.
"""

import dataclasses
import time

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.stdp_tables import train as stdp_train
from respike.sources.stdp_tables.model import StdpError, check_images, constants
from respike.sources.stdp_tables.settings import Explain as Settings
from respike.spiking.encoding import stream_key


def accuracy(s: Settings, data: Mnist, seed: int, **change) -> tuple[float, float]:
    """Return validation accuracies (all_activity, strict) with one setting changed."""
    s = dataclasses.replace(s, **change)
    coding = stdp_train.Coding(s.encoder, s.num_steps, s.intensity)
    c = constants(s, s.rule)
    images = check_images(data.train_images[: s.n_train])
    [net] = stdp_train.train(
        [c], coding, images, data.train_labels, seed, s.batch_size, s.assign_images
    )
    val, truth = check_images(data.train_images[-s.n_val :]), data.train_labels[-s.n_val :]
    key = stream_key(seed, stdp_train.STREAM_VAL)
    found = stdp_train.predictions(
        stdp_train.respond(c, net.state, coding, val, key), net.labels, net.labels_0
    )
    return float((found["all"] == truth).mean()), float((found["all_strict"] == truth).mean())


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Train at every value of every setting; report accuracies and what each explanation gains."""
    s = settings
    stdp_train.check_split(s.n_train, s.n_val, len(data.train_images))
    tried = {
        "num_steps": s.steps_tried, "batch_size": s.batches_tried, "n_neurons": s.neurons_tried,
    }  # fmt: skip
    for key, values in tried.items():
        if values[:1] != (getattr(s, key),):
            raise StdpError(f"values tried for {key}: {values} must start with {getattr(s, key)}")
    since = time.process_time()
    base, base_strict = accuracy(s, data, seed)
    done, total = 1, 1 + sum(len(values) - 1 for values in tried.values())
    progress("training", done, total)
    metrics = {"val_accuracy_base": base, "val_accuracy_base_strict": base_strict}
    series = {}
    for key, values in tried.items():
        found = [(base, base_strict)]
        for value in values[1:]:
            found.append(accuracy(s, data, seed, **{key: value}))
            done += 1
            progress("training", done, total)
        series[f"{key}_values"] = list(values)
        series[f"{key}_accuracy"] = [a for a, _ in found]
        series[f"{key}_accuracy_strict"] = [a for _, a in found]
        metrics[f"val_accuracy_{key}"] = found[-1][0]  # at the last value
        metrics[f"gain_{key}"] = found[-1][0] - base
        metrics[f"gain_{key}_strict"] = found[-1][1] - base_strict
    metrics["cpu_s"] = time.process_time() - since
    return Result(metrics=metrics, series=series)
