"""Where every rank of a run stands, and which of them keeps the others waiting."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import torch.distributed as dist

from bagreid.training.phases import order_of
from bagreid.world import World, all_objects, barrier

_SHOWN = 3
"""Ranks that a report names, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a rank stood when it last said so.

    Attributes:
        rank: Number of the process.
        host: Its machine's name.
        pid: Its number on that machine.
        step: Steps done.
        phase: What of the next step it was at, as in `bagreid.training.phases`.
        entered: Phases entered or left so far.
        standing: Seconds that it had been there.
        waits: Whether it waited for other ranks inside a collective.
        paused: Whether it may stand there for long.
        left: Whether it has ended its training.
        beat: How often it has said where it stands.
        time: When, in seconds since 1970 by its own clock.
    """

    rank: int
    host: str
    pid: int
    step: int
    phase: str
    entered: int
    standing: float
    waits: bool
    paused: bool
    left: bool
    beat: int
    time: float

    def __str__(self) -> str:
        """The rank as people find it."""
        return f"rank {self.rank} (host {self.host}, process {self.pid})"


def find_straggler(positions: list[Position], silent: dict[int, float]) -> str | None:
    """Says who is behind where nobody moves any more.

    A process that waits in a collective waits for one that does not: among those that still say
    where they stand, the one behind is the least advanced of those that do not wait.

    Args:
        positions: Of every rank, the last that it told.
        silent: Of each rank that has stopped telling, the seconds since.

    Returns:
        A clause about it; None where the wait is right, because a rank is at a long task.
    """
    lost = [each for each in positions if each.rank in silent and not each.left]
    if lost:
        return _listed([_lost(each, silent[each.rank]) for each in lost])
    living = [each for each in positions if not each.left]
    if any(each.paused for each in living):
        return None
    gone = [each for each in positions if each.left]
    if gone and all(each.waits for each in living):
        return f"{_listed([str(each) for each in gone])} left while others wait in a collective"
    suspects = [each for each in living if not each.waits] or living
    first = min(map(_progress, suspects))
    behind = [each for each in suspects if _progress(each) == first]
    if len(behind) == len(positions) > 1:
        return (
            f"all {len(behind)} ranks have stood at the same place for {behind[0].standing:.0f} s, "
            f"{_place(behind[0])}: the network between them may have failed"
        )
    return _listed(
        [f"{each} has stood {_place(each)} for {each.standing:.0f} s" for each in behind]
    )


def _listed(clauses: list[str]) -> str:
    more = len(clauses) - _SHOWN
    return " and ".join(clauses[:_SHOWN]) + (f" and {more} more ranks" if more > 0 else "")


def _lost(position: Position, seconds: float) -> str:
    last = datetime.fromtimestamp(position.time, UTC).strftime("%H:%M:%S UTC")
    return (
        f"{position} has been silent for {seconds:.0f} s or more, last heard of at {last} "
        f"{_place(position)}: its process is stopped or dead, or its machine is gone"
    )


def _place(position: Position) -> str:
    return f'after step {position.step:,} in phase "{position.phase}"'


def _progress(position: Position) -> tuple[int, int]:
    return position.step, order_of(position.phase)


class PositionBoard:
    """The positions of all ranks, in the small store that they met through.

    Attributes:
        first: Where each rank stood when the board was made.

    Args:
        world: Who computes with whom; every rank must make one at the same point.
        here: Where this rank stands.
        patience: Seconds that the store may take to answer.
    """

    def __init__(self, world: World, here: Position, patience: float) -> None:
        # Under a name of its own: after a change of nodes torchrun hands out the same store.
        name = all_objects(uuid4().hex, world)[0]
        parts: Any = dist.distributed_c10d
        # A connection of its own: the other one is locked while a collective is being set up.
        store = parts._get_default_store().clone()
        self._store: Any = parts.PrefixStore(f"bagreid/positions/{name}", store)
        self._store.set_timeout(timedelta(seconds=patience))
        self._world = world
        self.tell(here)
        barrier(world)  # whoever asks finds a word of every rank
        self.first = self.ask()

    def tell(self, position: Position) -> None:
        """Says where this rank stands."""
        self._store.set(str(position.rank), orjson.dumps(asdict(position)))

    def ask(self) -> list[Position]:
        """Where each rank stands by its own word; all must have told once."""
        said = self._store.multi_get([str(rank) for rank in range(self._world.size)])
        return [Position(**orjson.loads(each)) for each in said]

    def condemn(self, why: str) -> bool:
        """Calls upon all ranks to end; False where another did so before."""
        if self._store.add("voices", 1) > 1:
            return False
        self._store.set("end", why)
        return True

    def condemned(self) -> str | None:
        """Why all ranks shall end, if they shall."""
        return self._store.get("end").decode() if self._store.check(["end"]) else None
