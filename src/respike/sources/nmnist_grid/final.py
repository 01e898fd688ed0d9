"""The final model of the N-MNIST grid document, and what changing one setting does to it.

Source: nmnist-grid-paper.md, sections 3.4 to 3.6, 4 and 5. Protocols, deviations and choices:
claims.yaml. Network: respike.sources.nmnist_grid.cpu. Cost: about 30 s per epoch
of 60,000 recordings at 800 neurons and 50 steps, one core.
"""

import numpy as np
import torch

from respike.data.inputs import Inputs, load
from respike.data.nmnist.event_frames import N_INPUTS
from respike.runs.result import Network, Result
from respike.sources.nmnist_grid.cells import Cell
from respike.sources.nmnist_grid.cpu import N_CLASSES, frames_of
from respike.sources.nmnist_grid.settings import Final as Settings
from respike.sources.nmnist_grid.training import Training, output_counts, train
from respike.spiking.energy import costs
from respike.spiking.learning_curve import largest_drop

__all__ = ["Settings", "load", "run"]


def run(settings: Settings, data: Inputs, seed: int, progress, device: str) -> Result:
    """Train; follow validation and test accuracy (nothing is chosen by them); test."""
    s = settings
    held, half = data.recordings.splits["train"], data.recordings.splits["test"]
    n = s.n_train + s.n_val
    if n > len(held) or s.n_test > len(half):
        raise ValueError(
            f"n_train + n_val {n}, n_test {s.n_test}: the table holds {len(held)} and {len(half)}; "
            "lower them, or raise data.nmnist_recordings in config.yaml"
        )
    args = (s.t_window, s.filter_time, s.whole)
    frames, labels = frames_of(held, np.arange(n), *args, progress), held.labels[:n].astype(int)
    tests, test_labels = frames_of(half, np.arange(s.n_test), *args), half.labels[: s.n_test]
    cell = Cell(s.t_window, s.beta, s.n_hidden, s.ratio, s.batch_size)
    training = Training(
        s.n_hidden, s.beta, cell.rates(), s.batch_size, s.epochs, s.lr, s.l2, s.surrogate_gain
    )
    every_test = np.arange(s.n_test)
    follow = {"test_accuracy": (tests, test_labels.astype(int), every_test[: s.n_curve])}
    if s.n_val:
        follow["val_accuracy"] = (frames, labels, np.arange(s.n_train, n))
    shown = {}
    if device == "cuda":
        from respike.sources.nmnist_grid import gpu

        net, _, (curves,) = gpu.train_side_by_side(
            frames, labels, np.arange(s.n_train), [training], [seed], seed, follow, device,
            progress=progress,
        )  # fmt: skip
        on_device = gpu.DeviceFrames(tests, device)
        (counts,), (spikes,) = gpu.output_counts(net, on_device, every_test)
        train_s = curves["train_s_per_epoch"]
        with torch.no_grad():
            out, hidden = net(on_device.dense(every_test[:1], int(tests.n_frames[0])))
        shown = {
            "output_spikes": out[0][:, 0].cpu(),
            "hidden_per_step": hidden[0].sum((1, 2)).cpu(),
        }
    else:
        trained = train(
            frames, labels, np.arange(s.n_train), training, seed, seed, follow, progress=progress
        )
        net, train_s = trained.net, trained.cpu_s_per_epoch
        curves = {**trained.curves, "loss": trained.loss}
        counts, per_step = output_counts(net, tests, every_test)
        spikes = float(per_step.sum())
        with torch.no_grad():
            out, hidden = net(tests, every_test[:1])
        shown = {"output_spikes": out[:, 0].numpy(), "hidden_per_step": hidden}
    predictions = counts.argmax(axis=1)
    test_entries = np.diff(tests.starts[:: tests.num_steps])
    num_steps, input_spikes = float(tests.n_frames.mean()), float(test_entries.mean())
    sizes = (N_INPUTS, s.n_hidden, N_CLASSES)
    cost = costs(sizes, (input_spikes, spikes), round(num_steps))
    metrics = {
        "test_accuracy_final": float((predictions == test_labels).mean()),
        "largest_drop": largest_drop(curves["test_accuracy"]),
        "num_steps": num_steps,
        "input_spikes_per_recording": input_spikes,
        "hidden_spikes_per_recording": spikes,
        "output_spikes_per_recording": float(counts.sum(axis=1).mean()),
        "hidden_rate": spikes / (num_steps * s.n_hidden),
        "train_s_per_epoch": train_s,
        "loss_final": curves["loss"][-1],
        **cost,
    }
    if s.n_val:
        metrics |= early_stopping(curves["val_accuracy"], curves["test_accuracy"], s.patience)
        metrics["val_accuracy_final"] = curves["val_accuracy"][-1]
        metrics["rise_after_epoch_10"] = late_rise(curves["val_accuracy"])
    row = slice(tests.starts[0], tests.starts[tests.num_steps])
    arrays = {
        "predictions": predictions.astype(np.uint8),
        "labels": test_labels.astype(np.uint8),
        "events_per_step": np.diff(tests.starts[: int(tests.n_frames[0]) + 1]).astype(np.int32),
        "events_by_input": np.bincount(tests.inputs[row], minlength=N_INPUTS).astype(np.uint16),
        "output_spikes": np.asarray(shown["output_spikes"]).astype(np.uint8),
        "hidden_per_step": np.asarray(shown["hidden_per_step"]).astype(np.int32),
    }
    network = Network(
        name=f"2312-{s.n_hidden}-10, {'whole recording' if s.whole else 'first 100 ms'}",
        data_set="nmnist",
        rule="surrogate gradients through time",
        n_neurons=s.n_hidden + N_CLASSES,
        n_parameters=(N_INPUTS + 1) * s.n_hidden + (s.n_hidden + 1) * N_CLASSES,
        n_state=s.n_hidden + N_CLASSES,
        num_steps=round(num_steps),
        spikes=input_spikes + spikes + metrics["output_spikes_per_recording"],
        synaptic_operations=cost["synaptic_operations"],
        macs=cost["ann_macs"],
        n_train=s.n_train,
        presentations=s.n_train * s.epochs,
        train_s=train_s * s.epochs,
    )
    return Result(metrics=metrics, series=curves, arrays=arrays, network=network)


def early_stopping(val: list[float], test: list[float], patience: int) -> dict[str, float]:
    """Return where training would have stopped, and what that would have cost in test accuracy.

    Stops after `patience` epochs without a better validation accuracy and keeps the best epoch;
    epochs count from 1.
    """
    best, stop = 0, len(val)
    for epoch, accuracy in enumerate(val):
        if accuracy > val[best]:
            best = epoch
        if epoch - best >= patience:
            stop = epoch + 1
            break
    return {
        "early_stop_epoch": float(stop),
        "early_stop_best_epoch": float(best + 1),
        "early_stop_gain": test[best] - test[-1],
    }


def late_rise(val: list[float]) -> float:
    """Return the mean of the last three epochs less that of epochs 8 to 10; NaN if too short."""
    return float(np.mean(val[-3:]) - np.mean(val[7:10])) if len(val) >= 13 else float("nan")
