"""Image-level truth of a synthetic archive: only for measuring, never for training from bags."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from bagreid.catalog.names import Hashes, split_paths
from bagreid.contracts import PADDING, BagreidError, IntArray

HEADER = ["image", "person_id"]
"""First line of `truth.csv`."""


def read_truth(
    path: Path, keys: Hashes, test_keys: Hashes, identities: IntArray
) -> tuple[IntArray, int, int]:
    """Reads `truth.csv` and matches it with the train images.

    Args:
        path: The file: `image,person_id`, one image a line; test images may be in it.
        keys: `(n,)` hashes of the train images' names.
        test_keys: Hashes of the test images' names, whose lines are passed over.
        identities: `(C,)` ascending identities of the bag labels.

    Returns:
        `(n,)` int64 class index, -1 where it is unknown or no bag lists the person; number of
        lines without an image; number of images without a line.

    Raises:
        BagreidError: If the file is no such table.
    """
    table = _read(path)
    person = table["person_id"].combine_chunks()
    if person.null_count:
        row = pc.index(pc.is_null(person), True).as_py() + 2
        raise _bad(path, "a person_id is empty", row)
    paths = split_paths(
        pa.concat_arrays(table["image"].chunks or [pa.array([], pa.large_string())])
    )
    line_keys = paths.keys()
    person_id = np.asarray(person.to_numpy(zero_copy_only=False), np.int64)
    truth = np.full(len(keys), PADDING, np.int64)
    matched = np.isin(line_keys, test_keys)
    if not len(line_keys) or not len(keys):
        return truth, int((~matched).sum()), len(keys)
    order = np.argsort(line_keys, kind="stable")
    at = order[np.minimum(np.searchsorted(line_keys[order], keys), len(order) - 1)]
    known = line_keys[at] == keys
    matched[at[known]] = True
    who = person_id[at[known]]
    if len(identities):
        place = np.minimum(np.searchsorted(identities, who), len(identities) - 1)
        truth[known] = np.where(identities[place] == who, place, PADDING)
    return truth, int((~matched).sum()), int((~known).sum())


def _read(path: Path) -> pa.Table:
    try:
        table = _parse(path, threads=True)
    except (pa.ArrowException, OSError):
        try:
            # Only a single thread counts the rows, so that the error can name one.
            table = _parse(path, threads=False)
        except (pa.ArrowException, OSError) as error:
            said = str(error)
            found = re.search(r"Row #(\d+): ", said)
            why = said.replace(found[0], "") if found else said
            why = why if len(why) < 200 else why[:200] + " ..."
            raise _bad(path, why, found[1] if found else 1) from error
    try:
        first = table.column_names
    except UnicodeDecodeError as error:
        raise _bad(path, "it is not UTF-8 text") from error
    if first != HEADER:
        raise _bad(path, f"its first line is {','.join(first)[:80]!r}")
    return table


def _parse(path: Path, *, threads: bool) -> pa.Table:
    return pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(use_threads=threads),
        convert_options=pacsv.ConvertOptions(
            column_types={"image": pa.large_string(), "person_id": pa.int64()},
            strings_can_be_null=False,
        ),
    )


def _bad(path: Path, why: str, row: int | str = 1) -> BagreidError:
    return BagreidError(
        f"this is no table of truth ({why})",
        path=path,
        position=f"row {row}",
        remedy=f"Its first line should read {','.join(HEADER)}, then one image and number a line",
    )
