"""How long each phase of a step takes: for the host, and on a GPU for the device, lagging behind.

On a GPU a phase is marked by events in the stream of its work; they are read when all is over, so
that no step waits for them. The device's time of a phase is from the moment it is done with what
came before to the end of the phase's own work, so that it holds what the device waits for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

BETWEEN = "between phases"
"""What of a step lies in no phase."""


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """A phase in the mean of the steps.

    Attributes:
        name: The phase.
        host: Seconds a step that the host spent in it, those of phases inside it aside.
        device: Likewise the device; None where the host is the device.
    """

    name: str
    host: float
    device: float | None

    @property
    def decisive(self) -> float:
        """The device's time, where there is one, for the host only runs ahead of it."""
        return self.host if self.device is None else self.device


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Where the time of some steps went.

    Attributes:
        steps: How many.
        mean: Seconds a step.
        least: Seconds of the fastest.
        most: Seconds of the slowest.
        phases: Their shares; they sum up to the mean.
    """

    steps: int
    mean: float
    least: float
    most: float
    phases: tuple[PhaseTime, ...]

    def share(self, name: str) -> float:
        """Share of the step that a phase takes."""
        total = sum(phase.decisive for phase in self.phases)
        return sum(p.decisive for p in self.phases if p.name == name) / max(total, 1e-12)

    def without(self, *names: str) -> StepTimes:
        """The same steps, as if some of their phases had not been."""
        return replace(self, phases=tuple(p for p in self.phases if p.name not in names))


@dataclass(slots=True)
class _Moment:
    host: float
    event: torch.cuda.Event | None

    def until(self, other: _Moment) -> tuple[float, float | None]:
        """Seconds to a later moment, of the host and of the device."""
        device = None
        if self.event is not None and other.event is not None:
            device = self.event.elapsed_time(other.event) / 1000
        return other.host - self.host, device


@dataclass(slots=True)
class _Span:
    name: str
    begun: _Moment
    ended: _Moment | None = None
    inner: list[_Span] = field(default_factory=list)


class StepTimer:
    """Takes the times of phases, step by step.

    Args:
        device: Where the steps are computed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[_Span] = []
        self._open: list[_Span] = []
        self._borders: list[_Moment] = []

    @property
    def steps(self) -> int:
        """Whole steps seen."""
        return max(0, len(self._borders) - 1)

    def border(self) -> None:
        """Marks the end of a step and the beginning of the next."""
        self._borders.append(self._now())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Takes the time of a phase; phases may lie in each other."""
        span = _Span(name, self._now())
        if self._open:
            self._open[-1].inner.append(span)
        self._spans.append(span)
        self._open.append(span)
        try:
            yield
        finally:
            self._open.pop()
            span.ended = self._now()

    def times(self) -> StepTimes:
        """The mean of the whole steps; waits for the device."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        steps = self.steps
        last = self._borders[-1]
        host: dict[str, float] = {}
        device: dict[str, float] = {}
        for span in self._spans:
            if span.ended is None or span.begun.host >= last.host:
                continue
            own = [span.begun.until(span.ended)]
            own += [inner.begun.until(inner.ended) for inner in span.inner if inner.ended]
            signs = [1.0] + [-1.0] * (len(own) - 1)
            for (by_host, by_device), sign in zip(own, signs, strict=True):
                host[span.name] = host.get(span.name, 0.0) + sign * by_host
                device[span.name] = device.get(span.name, 0.0) + sign * (by_device or 0.0)
        whole, whole_device = self._borders[0].until(last)
        host[BETWEEN] = whole - sum(host.values())
        device[BETWEEN] = (whole_device or 0.0) - sum(device.values())
        phases = tuple(
            PhaseTime(name, host[name] / steps, device[name] / steps if whole_device else None)
            for name in host
        )
        pairs = zip(self._borders, self._borders[1:], strict=False)
        each = [max(part for part in a.until(b) if part is not None) for a, b in pairs]
        mean = (whole_device or whole) / steps
        return StepTimes(steps, mean, min(each), max(each), phases)

    def _now(self) -> _Moment:
        event = None
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
        return _Moment(time.perf_counter(), event)
