"""Settings of the experiments on nmnist-grid-paper.md: names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.workflow.settings import Count, NonNegative, Positive, Range, Share, Whole


@dataclass(frozen=True)
class Describe:
    """Settings of the description."""

    n: Annotated[int, Range(1, 60_000)]  # recordings of the training half to look at
    filter_time: Whole  # us, of the noise filter
    t_window: Count  # us, of a frame
    digit: Annotated[int, Range(0, 9)]  # shown before and after the noise filter
    show_t_window: Count  # us, of the frame shown


@dataclass(frozen=True)
class Surrogate:
    """The range that is shown."""

    reach: Positive  # membrane potential less threshold, from -reach to reach
    n_points: Annotated[int, Range(3)]  # odd, so that the threshold itself is a point


@dataclass(frozen=True)
class Final:
    """What the document states, and what it leaves open (U items)."""

    # training recordings, the first ones (source: all 60,000)
    n_train: Annotated[int, Range(1, 60_000)]
    # recordings after them, held out of training (source: none for the final model)
    n_val: Annotated[int, Range(0, 59_999)]
    n_test: Annotated[int, Range(1, 10_000)]  # test recordings (source: all 10,000)
    # of these, the first ones: for the accuracy after each epoch
    n_curve: Annotated[int, Range(1, 10_000)]
    n_hidden: Count  # source: 800
    beta: Share  # source: 0.9
    t_window: Count  # us (source: 2000)
    ratio: str  # target ratio (source: 0.8/0.2)
    batch_size: Count  # source: 128
    epochs: Count  # source: 15
    lr: Positive  # learning rate of Adam; U2
    l2: NonNegative  # source: 1e-5; U4
    filter_time: Whole  # of the noise filter, us (source: 10,000)
    whole: bool  # whole recordings (the authors' script) in place of the first 100 ms
    surrogate_gain: Positive  # 1: derivative as snnTorch computes it; 1/pi: as printed
    patience: Count  # epochs without a better validation accuracy before stopping; U6


@dataclass(frozen=True)
class Search:
    """What the document states, and what it leaves open (U items)."""

    cells: tuple[str, ...]  # as respike.sources.nmnist_grid.cells.Cell writes them; one t_window
    # training recordings that are split into folds (source: 60,000)
    n_recordings: Annotated[int, Range(2, 60_000)]
    n_test: Annotated[int, Range(1, 10_000)]  # test recordings; they choose nothing
    n_folds: Annotated[int, Range(2)]  # source: 5 in the first search, 2 in the second
    epochs: Count  # source: 3 and 15
    lr: Positive  # U2
    l2: NonNegative  # source: 1e-5; U4
    filter_time: Whole  # of the noise filter, us (source: 10,000)
    whole: bool  # whole recordings (the authors' script) in place of the first 100 ms
    cached_t_window: Count | None  # all cells read frames of this t_window; U5
    keep_optimiser: bool  # Adam's moments pass from fold to fold (the authors' script)
    first_ratio_typo: bool  # 0.8/0.2 is typed `0.8, 0,2`: the wrong classes' target is 0


@dataclass(frozen=True)
class Table:
    """Which search, and its budget, so that the report can compare it with the document's."""

    table: Literal[1, 2]  # published table, 1 or 2
    search: str  # entry of the search
    whole_search: str | None  # where a subset was searched: the search of all recordings
    validation: Literal["held_out", "training"]  # held_out or training: what the search judges by
    n_recordings: Annotated[int, Range(2, 60_000)]
    n_folds: Annotated[int, Range(2)]
    epochs: Count
