"""What a signal asks of a run, known to all its ranks at the same step.

A signal reaches the ranks at different moments, or only some of them. Each rank therefore says
after every step what it was asked, and learns what any rank was asked a step before: one byte or
two over the network, while the next step is computed.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from bagreid.world import PATIENCE, World


class Wish(NamedTuple):
    """What to do after a step, the same on every rank."""

    stop: bool = False
    save: bool = False


class Wishes:
    """Takes SIGINT, SIGTERM (stop) and SIGUSR1 (save, and go on) instead of dying of them.

    A second SIGINT raises KeyboardInterrupt at once: somebody is in a hurry.

    Args:
        world: Who must agree.
    """

    def __init__(self, world: World) -> None:
        self._stop = self._save = False
        self._before: dict[int, Any] = {}
        self._asked: tuple[torch.Tensor, Any] | None = None
        # apart from the gradients, and over the network whatever they travel by
        self._group: Any = None
        if world.size > 1:
            self._group = dist.new_group(backend="gloo", timeout=timedelta(minutes=PATIENCE))

    def __enter__(self) -> Wishes:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # only the main thread of a process may take signals
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None and self._asked is not None:
            self._asked[1].wait()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number == signal.SIGUSR1:
            self._save = True
        elif self._stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            self._stop = True

    def agreed(self) -> Wish:
        """What all ranks do now; to be asked by every rank after every step."""
        mine = Wish(self._stop, self._save)
        if mine.save:  # one that comes between these lines is of the next step
            self._save = False
        if self._group is None:
            return mine
        before, self._asked = self._asked, None
        values = torch.tensor(mine, dtype=torch.uint8)
        work = dist.all_reduce(values, dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._asked = values, work
        if before is None:
            return Wish()
        before[1].wait()
        wish = Wish(*map(bool, before[0].tolist()))
        if wish.stop:  # nothing may be under way when the processes part
            work.wait()
            self._asked = None
        return wish
