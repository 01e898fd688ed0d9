"""One cell of a hyper-parameter grid, written as text in settings, metrics and messages."""

from typing import NamedTuple


class Cell(NamedTuple):
    """The settings that the document's two searches vary (section 3.7)."""

    t_window: int  # length of a step, us
    beta: float
    n_hidden: int
    ratio: str  # target share of steps with a spike, right class / each wrong class, as "0.8/0.2"
    batch_size: int

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self._asdict().items())

    @classmethod
    def parse(cls, text: str) -> "Cell":
        """Return the cell of a text as `str` gives it; raise ValueError."""
        try:
            given = dict(part.split("=", 1) for part in text.split())
            return cls(
                **{name: kind(given.pop(name)) for name, kind in cls.__annotations__.items()},
                **given,
            )
        except (KeyError, TypeError, ValueError):
            names = " ".join(f"{name}=..." for name in cls._fields)
            raise ValueError(f"cells: found {text!r}, allowed: {names}") from None

    def rates(self) -> tuple[float, float]:
        """Return the target rates of the right and of the wrong classes; raise ValueError."""
        try:
            correct, incorrect = (float(part) for part in self.ratio.split("/"))
        except ValueError:
            correct, incorrect = -1.0, -1.0
        if not 0 <= incorrect < correct <= 1:
            raise ValueError(f"ratio: found {self.ratio!r}, allowed: right/wrong, as 0.8/0.2")
        return correct, incorrect
