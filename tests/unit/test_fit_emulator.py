"""The fit of the emulated camera: its parts, on recordings whose camera is known."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from respike.data import fit_emulator as fit
from respike.data import mnist
from respike.data.emulator import camera, parameters
from respike.data.nmnist.statistics import pixel_counts


@pytest.fixture(scope="module")
def images(mnist_folder):
    return mnist.load(mnist_folder).train_images[:60]


def test_the_rate_model_moves_as_the_emulator_does():
    rng = np.random.default_rng(0)
    edges = fit.EDGES
    motion = np.cumsum(rng.normal(0, 0.05, (len(edges), 2)), 0)
    motion = np.stack([np.convolve(m, np.ones(9) / 9, "same") for m in motion.T], 1)
    variations = np.array([[3.0, -2.0, 0.1, -0.05, 310.0], [0.0, 4.0, 0.0, 0.2, 310.0]])
    model = fit.RateModel(2)
    with torch.no_grad():
        model.motion.copy_(torch.from_numpy(motion))
        model.variations.copy_(torch.from_numpy(variations[:, :4] / [4.0, 4.0, 0.1, 0.1]))
    theirs = model._place(torch.arange(2)).detach().numpy()
    p = dataclasses.replace(
        parameters.load_parameters(), times=edges, motion=motion, variations=variations
    )
    for i in range(2):
        only = dataclasses.replace(p, variations=variations[i : i + 1])
        ours, _ = camera.motion_paths(only, camera.recording_keys(np.arange(1), 0))
        at = edges[edges < 300].astype(int)
        whole = edges[edges < 300] == at  # the emulator's steps are whole milliseconds
        # A spline against straight lines between the same knots.
        assert np.abs(ours[0][at[whole]] - theirs[i][: len(at)][whole]).max() < 0.02


def test_the_rate_model_sees_what_the_emulator_sees(images):
    # The change of darkness over a recording, pixel by pixel, from both.
    p = dataclasses.replace(
        parameters.load_parameters(), variations=np.array([[0.0] * 4 + [315.0]])
    )
    model = fit.RateModel(1)
    with torch.no_grad():
        knots = np.stack([np.interp(fit.EDGES, p.times, m) for m in p.motion.T], 1)
        model.motion.copy_(torch.from_numpy(knots))
        model.affine.copy_(torch.from_numpy(p.affine))
        model.log_blur.fill_(float(np.log(p.blur)))
        model.contrast_logit.fill_(float(np.log(p.contrast / (1 - p.contrast))))
        picture = torch.from_numpy(images[:1]).float() / 255
        dark = model.darkness(picture, torch.arange(1))[0].numpy()
    from respike.data.emulator import gpu

    fine = gpu._fine_images(images[:1], p, "cpu").reshape(parameters.SIDE, parameters.SIDE)
    path, _ = camera.motion_paths(p, camera.recording_keys(np.arange(1), 0))
    for k, t in ((0, 0), (len(fit.EDGES) // 2, 157.5)):
        place = np.array([np.interp(t, np.arange(len(path[0])), m) for m in path[0].T])
        at = (np.arange(34) - 16.5) * parameters.FINE + (parameters.SIDE - 1) / 2
        x, y = at - place[0] * parameters.FINE, at - place[1] * parameters.FINE
        from scipy.ndimage import map_coordinates

        grid = np.meshgrid(y, x, indexing="ij")
        ours = map_coordinates(fine.numpy(), grid, order=1)
        assert np.abs(ours - dark[k]).max() < 0.08 * dark[k].max()
        assert np.corrcoef(ours.ravel(), dark[k].ravel())[0, 1] > 0.999


def test_thresholds_are_found_again(images):
    p, index = parameters.load_parameters(), np.arange(len(images))
    truth = dataclasses.replace(
        p,
        threshold_on=np.full((34, 34), 0.30, np.float32),
        threshold_off=np.full((34, 34), 0.22, np.float32),
    )
    real = pixel_counts(camera.emulate(images, index, 7, truth)[0])
    start = dataclasses.replace(
        p,
        threshold_on=np.full((34, 34), 0.2, np.float32),
        threshold_off=np.full((34, 34), 0.3, np.float32),
    )
    found = fit.set_thresholds(start, images, index, real, 8)
    seen = real.min(0) > 150
    assert seen.sum() > 100
    assert abs(np.median(found.threshold_on[seen]) / 0.30 - 1) < 0.03
    assert abs(np.median(found.threshold_off[seen]) / 0.22 - 1) < 0.03
    # Pixels without events are drawn to the others and to nothing else.
    unseen = real.max(0) < 5
    spread = found.threshold_on[unseen] / np.median(found.threshold_on)
    assert np.abs(spread - 1).max() < 0.1


def test_the_background_is_found_again(images):
    truth = dataclasses.replace(parameters.load_parameters(), noise_on=2e-3, noise_off=5e-4)
    events, counts = camera.emulate(images, np.arange(len(images)), 1, truth)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    on, off = fit.background(truth, images, events, offsets)
    assert abs(on / 2e-3 - 1) < 0.1 and abs(off / 5e-4 - 1) < 0.2


def test_what_cannot_be_fitted_is_named(tmp_path, mnist_folder, capsys):
    assert fit.main(["--recordings", str(tmp_path), "--mnist", str(mnist_folder)]) == 1
    assert "no such file" in capsys.readouterr().err
    from respike.data.nmnist import recordings

    recordings.main(["--out", str(tmp_path), "--mnist", str(mnist_folder / "manifest.json"),
                     "--numbers", "[2, 1]", "--device", "cpu"])  # fmt: skip
    assert fit.main(["--recordings", str(tmp_path), "--mnist", str(mnist_folder)]) == 1
    assert "no real training recordings" in capsys.readouterr().err


def test_thresholds_alone_leave_all_else_as_it_was(tmp_path, mnist_folder, nmnist_archive):
    from respike.data.nmnist import official

    official.from_local(tmp_path / "real", nmnist_archive, say=lambda line: None)
    out = tmp_path / "emulator.json"
    assert fit.main(
        ["--recordings", str(tmp_path / "real"), "--mnist", str(mnist_folder), "--first", "30",
         "--thresholds-of", str(parameters.PARAMETERS), "--out", str(out)]
    ) == 0  # fmt: skip
    before, after = parameters.load_parameters(), parameters.load_parameters(out)
    for name in parameters.Parameters.__dataclass_fields__:
        same = np.array_equal(getattr(before, name), getattr(after, name))
        assert same != name.startswith("threshold_o"), name
    assert parameters.fitted_images(out).tolist() == list(range(30))
    assert json.loads(out.read_text())["provenance"]["before"]["fitted_to_images"] == [0, 299]
