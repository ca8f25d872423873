"""Notices that training stands still, says which rank is to blame, and ends the process.

A rank that hangs makes all others wait for ever. So each rank tells the small store that they met
through where it stands, every few seconds, from a thread of its own; a rank that has not moved for
long asks there who is behind. In the loop:

    with Watchdog(self.phases, self.world, self.work_dir, timeout=seconds) as watchdog:
        ...                        # every rank enters at the same point, and moves self.phases
        with watchdog.paused():    # on the ranks that do it: the others then wait in peace
            validate()

One process alone is watched alike. A process that was stopped or slept counts none of that time.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from bagreid.training.phases import Phases
from bagreid.training.positions import Position, PositionBoard, find_straggler
from bagreid.world import World

EXIT_CODE = 4
"""Of a process that ends because training stands still; torchrun then starts all anew."""

_MOST_BEAT = 5.0
"""Seconds between two beats, or less where the timeout is short."""
_BEATS = 16
"""Beats that fit into a timeout, at least."""
_WAIT_BEATS = 4
"""Beats that a rank which ends leaves to the others to learn why."""
_TELLING = 10.0
"""Seconds that telling may take: the disk that the stacks go to may be what hangs."""


class Watchdog:
    """Watches one rank while it is entered.

    Args:
        phases: Where this rank is.
        world: Who computes with whom; every rank must enter at the same point.
        work_dir: Gets ``hang-rank<k>.txt``, the stacks of all threads.
        timeout: Seconds without a new phase after which the training is said to stand still;
            more than the longest phase takes on a busy machine.
    """

    def __init__(self, phases: Phases, world: World, work_dir: Path, timeout: float) -> None:
        self._phases, self._world, self._timeout = phases, world, timeout
        self._stacks = work_dir / f"hang-rank{world.rank}.txt"
        self._every = min(_MOST_BEAT, timeout / _BEATS)
        self._watched = threading.main_thread().ident
        self._ended = threading.Event()
        self._pauses = 0
        self._left = False
        self._awake = 0.0  # seconds that this process has run, as far as the beats tell
        self._moved = 0.0  # on that clock: when it moved last
        self._answered = 0.0  # when the store answered last
        self._asked = 0.0  # when it was asked for the others' positions
        self._beat = 0
        self._heard: dict[int, tuple[int, float]] = {}  # rank → its last beat, and when it came
        self._known: list[Position] = []
        self._why: str | None = None
        self._told = False
        self._board: PositionBoard | None = None
        self._threads = [threading.Thread(target=self._watch, name="watchdog", daemon=True)]

    def __enter__(self) -> Watchdog:
        self._watched = threading.get_ident()
        if self._world.size > 1:
            self._board = PositionBoard(self._world, self._here(), self._timeout / 2)
            self._known = self._board.first
            # Apart from the watch: a store that is gone may never answer.
            post = threading.Thread(target=self._post, name="watchdog's post", daemon=True)
            self._threads.append(post)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left = True
        self._ended.set()
        for thread in self._threads:
            thread.join(2 * self._every)
        faulthandler.cancel_dump_traceback_later()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While inside, this rank may stand where it is, and the others may wait for it."""
        self._pauses += 1
        try:
            yield
        finally:
            self._moved = self._awake
            self._pauses -= 1

    def _here(self) -> Position:
        phases = self._phases
        return Position(
            rank=self._world.rank,
            host=socket.gethostname(),
            pid=os.getpid(),
            step=phases.step,
            phase=phases.name,
            entered=phases.done,
            standing=self._awake - self._moved,
            waits=self._waits(),
            paused=self._pauses > 0,
            left=self._left,
            beat=self._beat,
            time=time.time(),
        )

    def _waits(self) -> bool:
        """Whether the watched thread is inside a collective, as far as its stack tells."""
        frame = sys._current_frames().get(self._watched or 0)
        while frame is not None:
            if "/torch/distributed/" in frame.f_code.co_filename:
                return True
            frame = frame.f_back
        return False

    def _watch(self) -> None:
        place, last = self._place(), time.monotonic()
        while not self._ended.wait(self._every):
            # A thread that holds the interpreter's lock stops this one too; then the timer speaks,
            # which needs no lock. It does not end the process: it cannot know of a stop by Ctrl-Z.
            faulthandler.dump_traceback_later(2 * self._timeout, file=2)
            now = time.monotonic()
            self._awake += min(now - last, 2 * self._every)
            last, before, place = now, place, self._place()
            if self._why is not None:
                self._end(self._why, told=True)
            if place != before or self._pauses:
                self._moved = self._awake
            elif self._awake - self._moved > self._timeout:
                self._judge()

    def _place(self) -> tuple[int, str, int]:
        return self._phases.step, self._phases.name, self._phases.done

    def _judge(self) -> None:
        if self._board is None:
            self._end(find_straggler([self._here()], {}))
        elif self._awake - self._answered > self._timeout / 2:
            self._board = None  # whoever asks it waits
            self._end(self._store_is_silent())
        elif self._asked - self._moved > self._timeout / 2:
            silent = {
                rank: self._awake - since
                for rank, (_, since) in self._heard.items()
                if self._awake - since > self._timeout / 4
            }
            self._end(find_straggler(self._known, silent))

    def _store_is_silent(self) -> str:
        """Who is behind where the store does not answer: who keeps it."""
        at = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            keeper = f"the torchrun of the first node ({at}), its machine"
        else:
            keeper = f"{self._known[0]}, its machine"
        return f"{keeper} or the network to it has not answered for {self._timeout / 2:.0f} s"

    def _post(self) -> None:
        """Tells where this rank stands; asks for the others when it has not moved for long."""
        board = self._board
        assert board is not None
        with suppress(RuntimeError):  # the store went with the process or machine that keeps it
            while not self._ended.wait(self._every):
                self._beat += 1
                board.tell(self._here())
                why = board.condemned()
                if self._awake - self._moved > self._timeout / 2:
                    self._hear(board.ask())
                self._answered, self._why = self._awake, why
            board.tell(self._here())

    def _hear(self, positions: list[Position]) -> None:
        self._known, self._asked = positions, self._awake
        for each in positions:
            if self._heard.get(each.rank, (-1, 0.0))[0] != each.beat:
                self._heard[each.rank] = each.beat, self._awake

    def _end(self, why: str | None, *, told: bool = False) -> None:
        """Ends this process, and calls upon the others; does nothing where the wait is right."""
        if why is None:
            return
        line = (
            f"bagreid train: the training stands still: {why}. Stacks: "
            f"{self._stacks.parent}/hang-rank*.txt. Exit code {EXIT_CODE}: torchrun starts anew "
            f"where --max-restarts allows it, --resume-from auto goes on by hand\n"
        )
        self._told = told
        teller = threading.Thread(target=self._tell, args=(why, line), daemon=True)
        teller.start()
        teller.join(_TELLING + _WAIT_BEATS * self._every)
        if not self._told:
            os.write(2, line.encode())
        os._exit(EXIT_CODE)

    def _tell(self, why: str, line: str) -> None:
        """Of all ranks one speaks; each writes its stacks. Store and disk may both hang."""
        first = not self._told
        if self._board is not None and first:
            with suppress(RuntimeError):
                first = self._board.condemn(why)
        self._told = True
        if first:
            os.write(2, line.encode())
        with suppress(OSError), self._stacks.open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
        if self._board is not None:
            time.sleep(_WAIT_BEATS * self._every)  # the store may go along: let the others look
