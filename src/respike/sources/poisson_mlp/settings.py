"""Settings of the experiments on poisson-mlp-report.md: names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.sources.shared.settings import Ann
from respike.workflow.settings import Count, Items, Positive, Range, Share

__all__ = ["Ann"]


@dataclass(frozen=True)
class Encode:
    """Constants of Step 1."""

    n_images: Annotated[int, Range(1, 60_000)]  # images shown (source: 5, chosen at random)
    num_steps: Count  # time steps T (source: 20)
    n_test: Annotated[int, Range(1, 10_000)]  # images over which the correlation is averaged (D1)
    # T at which the correlation is measured (D1)
    steps_curve: Annotated[tuple[Count, ...], Items(1)]


@dataclass(frozen=True)
class Forward:
    """Constants of Step 2."""

    n_hidden: Count  # hidden neurons (source: 100)
    num_steps: Count  # time steps T (source: 20)
    v_thresh: Positive  # threshold; U7: taken from Step 3
    beta: Share  # share of the potential left after a step; U7: taken from Step 3
    w_std: Positive  # standard deviation of the Gaussian weights; U2
    n_test: Annotated[int, Range(1, 10_000)]  # test images
    # weight scales at which activity is measured
    w_std_curve: Annotated[tuple[Positive, ...], Items(1)]


@dataclass(frozen=True)
class Overflow:
    """The clip of the document, and where the formula is evaluated."""

    surrogate_alpha: Positive  # the sharpness of the training runs; U3
    surrogate_clip: Positive | None  # source: 10
    alphas: Annotated[tuple[Positive, ...], Items(1)]  # sharpness values of the map
    reach: Positive  # largest |v - theta| of the map
    n_hidden: Count
    num_steps: Count
    v_thresh: Positive
    beta: Share
    w_std: Positive
    n_images: Annotated[int, Range(1, 60_000)]  # images whose potentials are read off


@dataclass(frozen=True)
class Train:
    """Constants of Step 3, and what it leaves open (U items)."""

    # training images (source: 10,000); U1: the first ones
    n_train: Annotated[int, Range(1, 50_000)]
    n_val: Annotated[int, Range(1, 10_000)]  # validation images; U1
    n_test: Annotated[int, Range(1, 10_000)]  # test images (source: 10,000)
    n_hidden: Count  # hidden neurons (source: 250)
    num_steps: Count  # time steps T (source: 50)
    v_thresh: Positive  # threshold (source: 0.5)
    beta: Share  # share of the potential left after a step (source: 0.98)
    lr: Positive  # learning rate (source: 2e-3)
    surrogate_alpha: Positive  # sharpness of the surrogate; U3
    epochs: Count  # passes over the training images; U4
    batch_size: Count  # images per update; U5
    error: Literal["per_step", "count"]  # per_step or count; U6
    target_rate: Share  # target spikes per step of the true class; U6
    w_std: Positive  # standard deviation of the initial weights; U2
    grad_clip: Positive | None  # bound of one gradient entry; U8
    surrogate_clip: Positive | None  # bound of the surrogate's argument (source: 10)
