"""What bounds the speed of training, in words and with the numbers that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bagreid.training.timing import StepTimes

NOTABLE = 0.10
"""Share of a step that is worth doing something about."""

BUSY = 0.80
"""Share of a step that a GPU must compute in to be called busy."""

Bound = Literal["loader", "copies", "host", "device"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What bounds the speed.

    Attributes:
        bound: Which part.
        said: A sentence with its numbers.
        advice: What can be done about it.
    """

    bound: Bound
    said: str
    advice: str


def judge(times: StepTimes, busy: float | None) -> Verdict:
    """Finds what bounds the speed.

    A loader that is faster than the network is never waited for, for its batches lie ready; so a
    share of waiting is no small flaw but the sign that the loader is the slower one.

    Args:
        times: Where the time goes.
        busy: Share of a step that a GPU computes or copies in; None where it is not known.
    """
    load, copy = times.share("load"), times.share("copy")
    if load >= NOTABLE and load >= copy:
        gain = 1 / max(1 - load, 0.01)
        return Verdict(
            "loader",
            f"Bound by the loader: {load:.0%} of a step passes in waiting for images; without "
            f"that it would be {gain:.1f} times as fast.",
            "Raise --train.workers up to the number of cores; store smaller images by bagreid "
            "shrink; put the archive on a faster disk.",
        )
    if copy >= NOTABLE:
        return Verdict(
            "copies",
            f"Bound by copies: {copy:.0%} of a step passes in bringing images to the device, "
            f"{load:.0%} in waiting for them.",
            "Make augment.canvas smaller; look for other traffic on the bus, and for other "
            "processes on this GPU.",
        )
    if busy is not None and busy < BUSY:
        return Verdict(
            "host",
            f"Bound by the host: the device computes {busy:.0%} of the time and waits for orders "
            f"for the rest, though not for images (load {load:.0%}, copy {copy:.0%}).",
            "Train with --train.compile, or with larger batches; look at the trace for what "
            "lies between the kernels.",
        )
    computing = 1 - load - copy
    slowest = max(
        (phase for phase in times.phases if phase.name not in ("load", "copy")),
        key=lambda phase: phase.decisive,
    )
    return Verdict(
        "device",
        f"Bound by computing: {computing:.0%} of a step, most of all {slowest.name} "
        f"({times.share(slowest.name):.0%}); load {load:.0%}, copy {copy:.0%}.",
        "The loader keeps up. Faster are 16 bits where they are not used yet, --train.compile, or "
        "more devices; augmentation and targets are worth a look where their shares are large.",
    )
