"""One tar to be shrunk: where it lies, where the new one goes, how far that has come."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bagreid.contracts import BagreidError
from bagreid.data.shrinking.journal import Journal, Standing
from bagreid.shards import open_source
from bagreid.shards.pointer import is_pointer
from bagreid.shards.source import State


@dataclass(frozen=True, slots=True)
class Job:
    """One tar to be shrunk.

    Attributes:
        name: What messages and the report call it.
        source: The tar.
        state: Its length in bytes, and when it was last changed (or its ETag).
        behind_end: Bytes behind its end mark that are no padding, or 0.
        target: Where the new one goes.
        journal: Where its journal goes.
    """

    name: str
    source: Path
    state: State
    behind_end: int
    target: Path
    journal: Path

    @property
    def size(self) -> int:
        """Length of the source in bytes."""
        return self.state[0]

    @property
    def partial(self) -> Path:
        """The new tar while it is not whole."""
        return self.target.with_name(self.target.name + ".partial")

    def check_unchanged(self) -> None:
        """Makes sure that the source is still what was scanned.

        Raises:
            BagreidError: If its length or its time of change is another.
        """
        found = present_state(self.source)
        if found != self.state:
            raise BagreidError(
                f"the tar changed while it was being shrunk: {state_change(self.state, found)}",
                path=self.source,
                remedy="Leave it as it is while it is read, and shrink into a new folder",
            )

    def standing(self) -> Standing:
        """How far it has come, by its journal and by what is there of the new tar.

        A kill may have come between the journal's last line and the rename, which is made up for.

        Returns:
            Where to go on; the very beginning where the bytes that the journal speaks of are gone.
        """
        journal = Journal(self.journal)
        found = journal.standing()
        written = found.tally.written
        if found.whole and not self.target.exists() and _size(self.partial) == written:
            self.partial.replace(self.target)
        if _size(self.target) == written if found.whole else _size(self.partial) >= written:
            return found
        journal.restart()
        return Standing()


def present_state(path: Path) -> State:
    """What identifies the present content of a tar.

    Args:
        path: A tar, or the pointer to one.

    Returns:
        Its length, and its time of change or ETag.

    Raises:
        BagreidError: If it cannot be read.
    """
    if is_pointer(path):
        with closing(open_source(path)) as source:
            return source.state
    try:
        found = path.stat()
    except OSError as error:
        raise BagreidError(
            f"cannot be read ({error.strerror})", path=path, remedy="Put the file back"
        ) from error
    return found.st_size, found.st_mtime_ns


def state_change(before: Sequence[object], now: Sequence[object]) -> str:
    """Two different states, as a clause.

    Args:
        before: The first.
        now: The second.

    Returns:
        What became of the length, or that the file was written to.
    """
    if before[0] != now[0]:
        return f"it had {before[0]:,} bytes and has {now[0]:,}"
    return "it has its length still, but was written to"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
