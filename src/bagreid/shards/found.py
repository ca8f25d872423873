"""What a scan has found so far: members as columns, and counts of everything else.

Shape letters: M members, P members of one piece.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bagreid.contracts import IntArray
from bagreid.shards.damage import DamageKind, TarDamage
from bagreid.shards.header import is_unsafe, quoted

FIRST = 10
"""How many unsafe names are kept for the report."""

KIND_NAMES = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": "directory",
    b"6": "fifo",
    b"S": "sparse file",
}
"""What the type flags of members that hold no plain image bytes stand for."""


class Found:
    """Members in archive order, and what was passed over.

    Attributes:
        count: Members so far.
        skipped: How many members of each other kind were passed over.
        unsafe: Members left out because their names lead out of the folder of unpacking.
        first_unsafe: The first ten of their names.
        bytes_after_end: Bytes from the end mark on, if they are not all zero.
        damage: What ended the scan early.
    """

    def __init__(self) -> None:
        self.count = 0
        self.skipped: Counter[str] = Counter()
        self.unsafe = 0
        self.first_unsafe: list[str] = []
        self.bytes_after_end = 0
        self.damage: TarDamage | None = None
        self._names: list[pa.LargeStringArray] = [pa.array([], pa.large_string())]
        self._offset: list[IntArray] = [np.zeros(0, np.int64)]
        self._size: list[IntArray] = [np.zeros(0, np.int64)]
        self._named: list[npt.NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
        self._rows: list[tuple[str, int, int, bool]] = []

    def add(
        self,
        name_P: pa.LargeStringArray,
        offset_P: IntArray,
        size_P: IntArray,
        named_P: npt.NDArray[np.bool_],
        *,
        safe: bool,
    ) -> None:
        """Takes members of one run.

        Args:
            name_P: `(P,)` names.
            offset_P: `(P,)` where their data begin.
            size_P: `(P,)` bytes of data.
            named_P: `(P,)` whether the header just before the data holds the whole name.
            safe: Whether a quick look has found all names safe.
        """
        self._flush()
        if not safe:
            safe_P = np.array([self._is_safe(name) for name in name_P.to_pylist()], np.bool_)
            name_P = name_P.filter(pa.array(safe_P))
            offset_P, size_P, named_P = offset_P[safe_P], size_P[safe_P], named_P[safe_P]
        self._names.append(name_P)
        self._offset.append(offset_P)
        self._size.append(size_P)
        self._named.append(named_P)
        self.count += len(name_P)

    def add_one(self, name: str, offset: int, size: int, named: bool) -> None:
        """Takes one member, as `add` takes many."""
        if self._is_safe(name):
            self._rows.append((name, offset, size, named))
            self.count += 1

    def skip(self, kind: str, count: int) -> None:
        """Passes over members that hold no plain bytes.

        Args:
            kind: What they are.
            count: How many; none are not worth a mention.
        """
        if count:
            self.skipped[kind] += count

    def columns(
        self,
    ) -> tuple[pa.LargeStringArray, IntArray, IntArray, npt.NDArray[np.bool_]]:
        """All members: `(M,)` names, offsets, sizes and "named by the header"."""
        self._flush()
        names = pa.concat_arrays(self._names)
        return (
            names,
            np.concatenate(self._offset),
            np.concatenate(self._size),
            np.concatenate(self._named),
        )

    def harm(
        self,
        kind: DamageKind,
        what: str,
        byte: int,
        remedy: str,
        *,
        path: Path,
        missing: int | None = None,
        position: str | None = None,
    ) -> TarDamage:
        """A damage, with what was read whole before it.

        Args:
            kind: Which kind.
            what: What is wrong.
            byte: Where.
            remedy: What the user can do.
            path: The tar.
            missing: Bytes known to be missing.
            position: Where, if the message shall name another byte.

        Returns:
            The damage, not yet raised.
        """
        self._flush()
        count = self.count
        last = next((names[-1].as_py() for names in reversed(self._names) if len(names)), None)
        so_far = f"{count:,} member{'' if count == 1 else 's'} read whole"
        return TarDamage(
            f"{what}; {so_far}" + (f", the last is {quoted(last)}" if last is not None else ""),
            kind=kind,
            byte=byte,
            members=count,
            last_good=last,
            missing_bytes=missing,
            path=path,
            position=position,
            remedy=remedy,
        )

    def _is_safe(self, name: str) -> bool:
        if not is_unsafe(name):
            return True
        self.unsafe += 1
        if len(self.first_unsafe) < FIRST:
            self.first_unsafe.append(name)
        return False

    def _flush(self) -> None:
        """Turns the members taken one by one into columns."""
        if not self._rows:
            return
        names, offset, size, named = zip(*self._rows, strict=True)
        self._names.append(pa.array(names, pa.large_string()))
        self._offset.append(np.array(offset, np.int64))
        self._size.append(np.array(size, np.int64))
        self._named.append(np.array(named, np.bool_))
        self._rows = []
