"""List files: one relative path a line, matched against the members by hash.

A list of SYSU-30k has 29 million lines and 1.3 GB: it is read some lines at a time, and of each
name only its hash is kept.

Shape letters: L names of a list, P pieces of its file, M images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.catalog.findings import FIRST, ListFinding
from bagreid.catalog.names import Hashes, split_paths
from bagreid.contracts import BagreidError, IntArray, Split

PIECE = 4 << 20
"""Bytes read at a time."""

LONGEST = 4096
"""Bytes of a name; Linux takes no longer path."""

_LONGEST_LINE = 4 << 20  # blanks included
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class NameList:
    """The names of one list file, without repetitions; their text stays in the file.

    Attributes:
        path: The file.
        split: The split whose names were kept; None where all were.
        lines: Names in the file, L.
        repeated: How many of them repeat an earlier one.
        keys: Hashes of the distinct names' last two components, in the order of the file.
        entry: For each key which of the L names it is; None where none is repeated and both
            count alike.
        first: `(P,)` which of the L names is the first of each piece.
        byte: `(P+1,)` where in the file each piece begins, and where the last one ends.
    """

    path: Path
    split: Split | None
    lines: int
    repeated: int
    keys: Hashes
    entry: IntArray | None
    first: IntArray
    byte: IntArray

    def names(self, places: IntArray) -> list[str]:
        """Reads some of the names once more.

        Args:
            places: Places in `keys`, ascending.

        Returns:
            The names as the file spells them.

        Raises:
            BagreidError: If the file is gone, or changed meanwhile.
        """
        entry = places if self.entry is None else self.entry[places]
        pieces = np.searchsorted(self.first, entry, "right") - 1
        found: list[str] = []
        for piece in np.unique(pieces).tolist():
            with _readable(self.path), self.path.open("rb") as file:
                file.seek(int(self.byte[piece]))
                raw = file.read(int(self.byte[piece + 1] - self.byte[piece]))
            texts, _ = _names(_checked(raw, self.path, 1), self.split)
            inside = entry[pieces == piece] - self.first[piece]
            if inside[-1] >= len(texts):
                raise BagreidError("the list changed while it was read", path=self.path)
            found += texts.take(pa.array(inside)).to_pylist()
        return found


def read_list(path: Path, split: Split | None = None) -> NameList:
    """Reads a list file.

    Args:
        path: The list: one relative path a line; a class number behind it, as in ImageNet's
            lists, is passed over, and so are empty lines.
        split: Keep only the lines of this split, for a `val.txt` that lists query and gallery
            together; None keeps all.

    Returns:
        The names.

    Raises:
        BagreidError: If the file cannot be read, is no text, or a line is no path of an image.
    """
    pieces = [np.zeros(0, np.uint64)]
    first: list[int] = []
    byte: list[int] = []
    count = end = 0
    for raw, start, line in _pieces(path):
        names, number = _names(_checked(raw, path, line), split)
        pieces.append(_keys(names, number + line, path))
        first.append(count)
        byte.append(start)
        count += len(names)
        end = start + len(raw)
    keys = np.concatenate(pieces)
    del pieces
    entry = _first_of_each(keys)
    if entry is not None:
        keys = keys[entry]
    return NameList(
        path=path,
        split=split,
        lines=count,
        repeated=count - len(keys),
        keys=keys,
        entry=entry,
        first=np.array(first, np.int64),
        byte=np.array([*byte, end], np.int64),
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error


def _pieces(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Whole lines, the byte at which they begin, and the number of the first of them from 1."""
    with _readable(path), path.open("rb") as file:
        rest = file.read(3).removeprefix(b"\xef\xbb\xbf")
        byte, line = file.tell() - len(rest), 1
        while fresh := file.read(PIECE):
            rest += fresh
            stop = rest.rfind(b"\n") + 1
            if stop:
                yield rest[:stop], byte, line
                byte += stop
                line += rest.count(b"\n", 0, stop)
                rest = rest[stop:]
            elif len(rest) > _LONGEST_LINE:
                raise _too_long(path, line)
        if rest:
            yield rest, byte, line


def _checked(raw: bytes, path: Path, line: int) -> bytes:
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise BagreidError(
                "the list is no UTF-8 text",
                path=path,
                position=f"line {line + raw.count(10, 0, error.start)}",
                remedy="Fetch it again, or save it as UTF-8",
            ) from error
    return raw


def _names(raw: bytes, split: Split | None) -> tuple[pa.LargeStringArray, IntArray]:
    """The names in some lines, and the number of each one's line from 0."""
    if not raw.endswith(b"\n"):
        raw += b"\n"
    ends = np.flatnonzero(np.frombuffer(raw, np.uint8) == ord("\n"))
    offset = np.concatenate([np.zeros(1, np.int64), ends + 1])
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offset), pa.py_buffer(raw))
    lines = pc.ascii_trim_whitespace(lines)
    if not pc.all(pc.match_substring_regex(lines, r"[Gg]$")).as_py():
        lines = pc.replace_substring_regex(lines, pattern=r"\s+-?[0-9]+$", replacement="")
    kept = pc.greater(pc.binary_length(lines), 0)
    if split is not None:
        kept = pc.and_(kept, pc.match_substring(lines, f"{split}/"))
    return lines.filter(kept), np.flatnonzero(kept.to_numpy(zero_copy_only=False))


def _keys(names: pa.LargeStringArray, line: IntArray, path: Path) -> Hashes:
    """Hashes of names, each of which must be a path of an image."""
    long = pc.greater(pc.binary_length(names), LONGEST).to_numpy(zero_copy_only=False)
    if long.any():
        raise _too_long(path, int(line[long.argmax()]))
    paths = split_paths(names)
    good = paths.is_image() & (paths.tail < paths.last)
    if not good.all():
        bad = int(good.argmin())
        raise BagreidError(
            f"{paths.text(bad)[:120]!r} is no path of a JPEG in a folder",
            path=path,
            position=f"line {line[bad]}",
            remedy="A list holds one relative path a line, such as "
            "sysu_train_set_all/0000000001/1.jpg",
        )
    return paths.keys()


def _too_long(path: Path, line: int) -> BagreidError:
    return BagreidError(
        f"the line is longer than any path ({LONGEST:,} bytes)",
        path=path,
        position=f"line {line}",
        remedy="A list holds one relative path a line",
    )


def _first_of_each(keys: Hashes) -> IntArray | None:
    """Places of all values but repetitions of an earlier one; None if there are no repetitions.

    A plain sort is many times faster than one that keeps the places, and mostly it is enough.
    """
    ordered = np.sort(keys)
    several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(several):
        return None
    at = np.minimum(np.searchsorted(several, keys), len(several) - 1)
    suspect = np.flatnonzero(several[at] == keys)
    _, first = np.unique(keys[suspect], return_index=True)
    kept = np.ones(len(keys), np.bool_)
    kept[suspect] = False
    kept[suspect[first]] = True
    return np.flatnonzero(kept)


def match(keys: Hashes, listed: NameList) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Finds each image in a list.

    Args:
        keys: `(M,)` hashes of the images of the list's split.
        listed: The list.

    Returns:
        `(M,)` int64 place of each image among the list's distinct names, -1 where it is not
        listed; and for each distinct name whether an image is there.
    """
    present = np.zeros(len(listed.keys), np.bool_)
    place = np.full(len(keys), -1, np.int64)
    if not len(listed.keys):
        return place, present
    order = np.argsort(listed.keys)
    ordered = listed.keys[order]
    for start in range(0, len(keys), _BLOCK):
        # Looked up in ascending order, neighbours lie in the same cache lines.
        block = np.argsort(keys[start : start + _BLOCK]) + start
        wanted = keys[block]
        at = np.minimum(np.searchsorted(ordered, wanted), len(order) - 1)
        hit = ordered[at] == wanted
        found = order[at[hit]]
        place[block[hit]] = found
        present[found] = True
    return place, present


def list_finding(
    file: str,
    split: Split,
    listed: NameList,
    present: npt.NDArray[np.bool_],
    unlisted: int,
    first_unlisted: Sequence[str],
) -> ListFinding:
    """Sums up one list against the members.

    Args:
        file: The list, relative to the root.
        split: What it lists.
        listed: Its names.
        present: Which of its distinct names have an image.
        unlisted: Images of the split that it does not list.
        first_unlisted: Names of the first of them.

    Returns:
        The finding.

    Raises:
        BagreidError: If the list is gone meanwhile.
    """
    absent = np.flatnonzero(~present)
    return ListFinding(
        file=file,
        split=split,
        lines=listed.lines,
        repeated=listed.repeated,
        absent=len(absent),
        first_absent=tuple(listed.names(absent[:FIRST])),
        unlisted=unlisted,
        first_unlisted=tuple(first_unlisted),
    )
