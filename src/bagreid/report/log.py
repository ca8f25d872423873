"""The log of a training run, read into curves."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bagreid.contracts import BagreidError, IntArray
from bagreid.report.fields import Fields

Floats = npt.NDArray[np.float64]

_STEP_CURVES = (
    "learning_rate",
    "images_per_second",
    "pseudo_label_accuracy",
    "pseudo_label_change",
    "gradient_norm",
    "waited",
)
_VALIDATION_CURVES = ("rank1", "mean_ap")


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One quantity over training.

    Attributes:
        step: ``(L,)`` int64, training steps, ascending, each once.
        value: ``(L,)`` float64, finite.
    """

    step: IntArray
    value: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What did not go smoothly, over the whole run.

    Attributes:
        skipped: Steps that gave no finite gradient and changed nothing.
        replaced: Times that another image stood in for a broken one.
        deaths: Step and reason of each loader worker that died.
    """

    skipped: tuple[int, ...] = ()
    replaced: int = 0
    deaths: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """What ``log.jsonl`` holds.

    Attributes:
        curves: By name: ``loss/TERM``, the step quantities, ``validation/rank1``,
            ``validation/mean_ap``, and for bags of WIDTH folders ``reliability/WIDTH``. Absent
            where nothing was logged.
        epochs: How many epochs were begun.
        last_step: The last step logged, ``None`` when there is none.
        seconds: From the first to the last step logged, pauses included.
        not_finite: Logged values that are no finite number.
        cut: Whether the last line is cut: the run was killed while it wrote.
        trouble: What did not go smoothly.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    epochs: int = 0
    last_step: int | None = None
    seconds: float | None = None
    not_finite: int = 0
    cut: bool = False
    trouble: Trouble = field(default_factory=Trouble)


class _Collector:
    """Gathers the values of each curve; of a step logged twice (after a resume) the later stays."""

    def __init__(self) -> None:
        self.values: dict[str, dict[int, float]] = {}
        self.times: list[float] = []
        self.epochs = 0
        self.last_step: int | None = None
        self.skipped: set[int] = set()
        self.replaced = 0
        self.deaths: dict[int, str] = {}

    def add(self, record: Fields) -> None:
        """Takes one line of the log; an unknown kind is passed over."""
        match record.data.get("kind"):
            case "step":
                self._add_step(record)
            case "validation":
                step = record.integer("step")
                for key in _VALIDATION_CURVES:
                    if key in record:
                        self._put(f"validation/{key}", step, record.number(key))
            case "reliability":
                bags_of = record.child("bags_of")
                for width in bags_of.data:
                    value = bags_of.number(width)
                    self._put(f"reliability/{width}", record.integer("step"), value)
            case "skipped":
                self.skipped.add(record.integer("step"))
            case "worker_death":
                why = record.text("why") if "why" in record else "unknown"
                self.deaths[record.integer("step")] = why
            case _:
                pass

    def _add_step(self, record: Fields) -> None:
        step = record.integer("step")
        self.last_step = step
        self.epochs = max(self.epochs, record.integer("epoch") + 1)
        if "time" in record:
            self.times.append(record.number("time"))
        if "replaced" in record:
            self.replaced = record.integer("replaced")
        loss = record.child("loss")
        for term in loss.data:
            value = loss.number(term) if term in loss else math.nan
            self._put(f"loss/{term}", step, value)
        for key in _STEP_CURVES:
            if key in record:
                self._put(key, step, record.number(key))

    def _put(self, name: str, step: int, value: float) -> None:
        self.values.setdefault(name, {})[step] = value

    def finish(self, *, cut: bool) -> TrainingLog:
        """The log as it stands."""
        curves: dict[str, Curve] = {}
        not_finite = 0
        for name, values in self.values.items():
            finite = sorted(item for item in values.items() if math.isfinite(item[1]))
            not_finite += len(values) - len(finite)
            if finite:
                steps, numbers = zip(*finite, strict=True)
                curves[name] = Curve(np.array(steps, np.int64), np.array(numbers, np.float64))
        return TrainingLog(
            curves=curves,
            epochs=self.epochs,
            last_step=self.last_step,
            seconds=self.times[-1] - self.times[0] if len(self.times) > 1 else None,
            not_finite=not_finite,
            cut=cut,
            trouble=Trouble(
                skipped=tuple(sorted(self.skipped)),
                replaced=self.replaced,
                deaths=tuple(sorted(self.deaths.items())),
            ),
        )


def read_log(path: Path) -> TrainingLog:
    """Reads a run's ``log.jsonl``.

    A last line without its line end that does not parse is a run killed while it wrote: it is
    left out and said so in ``cut``.

    Args:
        path: The file; a missing one gives an empty log (nothing was logged yet).

    Returns:
        The curves of the log.

    Raises:
        BagreidError: On any other broken line, with its number.
    """
    collector = _Collector()
    if not path.is_file():
        return collector.finish(cut=False)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return collector.finish(cut=True)
                raise BagreidError(
                    "is not JSON",
                    path=path,
                    position=f"line {number}",
                    remedy="Remove the line, or train again",
                ) from error
            collector.add(Fields(value, path, f"line {number}"))
    return collector.finish(cut=False)
