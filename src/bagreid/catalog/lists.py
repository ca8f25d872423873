"""List files: one relative path a line, matched against the members by hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bagreid.catalog.findings import FIRST, ListFinding
from bagreid.catalog.names import Hashes, Paths, split_paths
from bagreid.contracts import BagreidError, IntArray, Split


@dataclass(frozen=True, slots=True, eq=False)
class NameList:
    """The names of one list file, without repetitions.

    Attributes:
        lines: Names in the file.
        repeated: How many of them repeat an earlier one.
        paths: The names, every line.
        keys: Hashes of the distinct names' last two components, in the order of the file.
        line: For each key the (0-based) line it first stands on.
    """

    lines: int
    repeated: int
    paths: Paths
    keys: Hashes
    line: IntArray


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
    names = _lines(path)
    if split is not None:
        names = names.filter(pc.match_substring(names, f"{split}/"))
    paths = split_paths(names)
    good = paths.is_image() & (paths.tail < paths.last)
    if not good.all():
        bad = int(good.argmin())
        raise BagreidError(
            f"'{paths.text(bad)[:120]}' is no path of a JPEG in a folder",
            path=path,
            position=f"entry {bad + 1}",
            remedy="A list holds one relative path a line, such as "
            "sysu_train_set_all/0000000001/1.jpg",
        )
    keys = paths.keys()
    distinct, first = np.unique(keys, return_index=True)
    line = np.sort(first)
    return NameList(len(keys), len(keys) - len(distinct), paths, keys[line], line)


def _lines(path: Path) -> pa.LargeStringArray:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BagreidError(f"cannot be read ({error.strerror})", path=path) from error
    raw = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if not raw.endswith(b"\n"):
        raw += b"\n"
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BagreidError(
            "the list is no UTF-8 text",
            path=path,
            position=f"line {line}",
            remedy="Fetch it again, or save it as UTF-8",
        ) from error
    ends = np.flatnonzero(np.frombuffer(raw, np.uint8) == ord("\n"))
    offset = np.concatenate([np.zeros(1, np.int64), ends + 1])
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offset), pa.py_buffer(raw))
    lines = pc.ascii_trim_whitespace(lines)
    if not pc.all(pc.match_substring_regex(lines, r"[Gg]$")).as_py():
        lines = pc.replace_substring_regex(lines, pattern=r"\s+-?[0-9]+$", replacement="")
    return lines.filter(pc.greater(pc.binary_length(lines), 0))


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
    if len(listed.keys) and len(keys):
        order = np.argsort(listed.keys, kind="stable")
        at = np.searchsorted(listed.keys[order], keys)
        candidate = order[np.minimum(at, len(order) - 1)]
        hit = listed.keys[candidate] == keys
        place[hit] = candidate[hit]
        present[candidate[hit]] = True
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
    """
    absent = listed.line[~present]
    return ListFinding(
        file=file,
        split=split,
        lines=listed.lines,
        repeated=listed.repeated,
        absent=len(absent),
        first_absent=tuple(listed.paths.text(line) for line in absent[:FIRST].tolist()),
        unlisted=unlisted,
        first_unlisted=tuple(first_unlisted),
    )
