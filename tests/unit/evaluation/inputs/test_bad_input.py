"""What bad input gets: one typed error that names the file, the place and the way out."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bagreid.contracts import BagreidError
from bagreid.evaluation import load_features

from .people import Arrays, people, table, write_folder, write_joint_parquet, write_npz

Make = Callable[[Path, Arrays], list[Path] | dict[str, Any]]


def changed(**arrays: Any) -> Make:
    """The good ``.npz`` with other arrays; a function gets the good one; None takes it away."""

    def make(folder: Path, good: Arrays) -> list[Path]:
        for key, value in arrays.items():
            good[key] = value(good[key]) if callable(value) else value
        return write_npz(folder, {key: value for key, value in good.items() if value is not None})

    return make


def put(row: int, value: float) -> Callable[[Any], Any]:
    """A copy with one other value in a row."""

    def change(values: Any) -> Any:
        values = values.copy()
        values[row, 3] = value
        return values

    return change


def file(name: str, content: bytes) -> Make:
    """The good folder with one file of other content."""

    def make(folder: Path, good: Arrays) -> list[Path]:
        write_folder(folder, good)
        (folder / name).write_bytes(content)
        return [folder]

    return make


def resized(name: str, by: int) -> Make:
    """The good folder, a file of which is shorter or longer by some bytes."""

    def make(folder: Path, good: Arrays) -> list[Path]:
        write_folder(folder, good)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:by] if by < 0 else data + b"\0" * by)
        return [folder]

    return make


def saved(name: str, change: Callable[[Any], Any]) -> Make:
    """The good folder, one array of which is saved changed."""

    def make(folder: Path, good: Arrays) -> list[Path]:
        write_folder(folder, good)
        np.save(folder / name, change(np.load(folder / name)), allow_pickle=True)
        return [folder]

    return make


def removed(*names: str) -> Make:
    def make(folder: Path, good: Arrays) -> list[Path]:
        write_folder(folder, good)
        for name in names:
            (folder / name).unlink()
        return [folder]

    return make


def names_only(query: str, gallery: str, **options: Any) -> Make:
    """Two arrays of three images, and their names."""

    def make(folder: Path, good: Arrays) -> dict[str, Any]:
        for side, text in (("query", query), ("gallery", gallery)):
            np.save(folder / f"{side}.npy", good[f"{side}_feature"][:3])
            (folder / f"{side}.txt").write_text(text)
        return {"files": [folder / "query.npy", folder / "gallery.npy"], **options}

    return make


def with_csv(text: str, name: str = "query.csv") -> Make:
    def make(folder: Path, good: Arrays) -> list[Path]:
        np.save(folder / "query.npy", good["query_feature"][:2])
        np.save(folder / "gallery.npy", good["gallery_feature"][:2])
        (folder / "gallery.csv").write_text("pid,camid\n1,2\n2,2\n")
        (folder / name).write_bytes(text.encode("latin-1"))
        return [folder / "query.npy", folder / "gallery.npy"]

    return make


def parquet(**columns: Any) -> Make:
    """Two Parquet files; columns of the gallery are replaced, or taken away with None."""

    def make(folder: Path, good: Arrays) -> list[Path]:
        for side in ("query", "gallery"):
            sheet = table(good, side)
            for key, value in columns.items() if side == "gallery" else ():
                if key in sheet.column_names:
                    sheet = sheet.drop_columns([key])
                if value is not None:
                    column = value(good) if callable(value) else pa.array(value)
                    sheet = sheet.append_column(key, column)
            pq.write_table(sheet, folder / f"{side}.parquet")
        return [folder]

    return make


def joint(change: Callable[[pa.Table], pa.Table]) -> Make:
    def make(folder: Path, good: Arrays) -> list[Path]:
        (path,) = write_joint_parquet(folder, good)
        pq.write_table(change(pq.read_table(path)), path)
        return [path]

    return make


def damaged_member(folder: Path, good: Arrays) -> list[Path]:
    (path,) = write_npz(folder, good)
    data = bytearray(path.read_bytes())
    place = data.index(good["gallery_feature"].tobytes()[:64])
    data[place + 100] ^= 1
    path.write_bytes(data)
    return [path]


def damaged_compression(folder: Path, good: Arrays) -> list[Path]:
    np.savez_compressed(folder / "mine.npz", **good)
    data = bytearray((folder / "mine.npz").read_bytes())
    with zipfile.ZipFile(folder / "mine.npz") as zipped:
        place = zipped.getinfo("gallery_feature.npy").header_offset
    data[place + 2000] ^= 255
    (folder / "mine.npz").write_bytes(data)
    return [folder / "mine.npz"]


def cut_npz(folder: Path, good: Arrays) -> list[Path]:
    (path,) = write_npz(folder, good)
    path.write_bytes(path.read_bytes()[:5000])
    return [path]


def twice_in_a_zip(folder: Path, good: Arrays) -> list[Path]:
    (path,) = write_npz(folder, good)
    with zipfile.ZipFile(path, "a") as zipped, pytest.warns(UserWarning, match="Duplicate"):
        zipped.writestr("query_pid.npy", b"")
    return [path]


def lists(values: Any, kind: pa.DataType | None = None) -> Callable[[Arrays], pa.Array]:
    """The gallery's lists; a function changes the good ones."""

    def column(good: Arrays) -> pa.Array:
        return pa.array(values(good["gallery_feature"].tolist()), kind or pa.list_(pa.float32()))

    return column


def emptied(row: int) -> Callable[[Any], Any]:
    return lambda rows: [None if at == row else values for at, values in enumerate(rows)]


NAMES = "0001_c1s1_1_00.jpg\n0002_c1s1_2_00.jpg\n0003_c1s1_3_00.jpg\n"
GALLERY_NAMES = NAMES.replace("_c1", "_c2")

CASES: dict[str, tuple[Make, tuple[str, ...]]] = {
    # features that cannot be ranked
    "NaN": (
        changed(gallery_feature=put(5, np.nan)),
        (
            "mine.npz, row 5 (gallery/0006_c2s1_000005_00.jpg)",
            "the gallery features of 1 of 90 images hold NaN or infinity",
        ),
    ),
    "many NaN": (
        changed(gallery_feature=lambda x: x * np.nan),
        ("row 0 (", "4 (", " and 85 more: the gallery features of 90 of 90 images hold NaN"),
    ),
    "infinity": (
        changed(query_feature=put(11, -np.inf)),
        ("row 11 (query/0012_c1s1_000011_00.jpg)", "of 1 of 12 images hold NaN or infinity"),
    ),
    "infinity in float16": (
        changed(
            query_feature=lambda x: x.astype(np.float16),
            gallery_feature=lambda x: put(2, np.inf)(x.astype(np.float16)),
        ),
        ("row 2 (", "hold NaN or infinity"),
    ),
    "too large": (
        changed(gallery_feature=put(7, 3e18)),
        ("row 7 (", "too large to rank", "L2-normalise"),
    ),
    "too large for float32": (
        changed(gallery_feature=lambda x: put(7, 1e300)(x.astype(np.float64))),
        ("row 7 (", "too large to rank"),
    ),
    "no dimension": (changed(query_feature=np.ones((12, 0), np.float32)), ("shape (12, 0)",)),
    "empty gallery": (
        changed(gallery_feature=np.ones((0, 24), np.float32)),
        ("mine.npz, gallery_feature: holds no features: shape (0, 24)", "at least one query"),
    ),
    "empty query": (
        changed(query_feature=np.ones((0, 24), np.float32)),
        ("mine.npz, query_feature: holds no features",),
    ),
    "one-dimensional": (
        changed(query_feature=lambda x: x[:, 0]),
        ("shape (12,), not (images, dimensions)",),
    ),
    "unpooled": (
        changed(query_feature=lambda x: x[:, :, None, None]),
        ("shape (12, 24, 1, 1)", "x.reshape(len(x), -1)"),
    ),
    "dimensions differ": (
        changed(gallery_feature=lambda x: x[:, :20]),
        ("mine.npz: the gallery features have 20 dimensions", "24", "same network"),
    ),
    "integers": (
        changed(query_feature=lambda x: x.astype(np.int32)),
        ("type int32", "x.astype(np.float32)", "mostly are labels"),
    ),
    "unsigned": (changed(query_feature=lambda x: x.astype(np.uint8)), ("type uint8",)),
    "bool": (changed(query_feature=lambda x: x > 0), ("type bool",)),
    "complex": (changed(query_feature=lambda x: x * 1j), ("type complex64", "real numbers")),
    "long double": (
        changed(query_feature=lambda x: x.astype(np.longdouble)),
        ("type float128", "x.astype(np.float32)"),
    ),
    "text as features": (changed(query_feature=lambda x: x.astype(str)), ("type <U",)),
    "dates": (changed(query_feature=lambda x: x.astype("M8[s]")), ("type datetime64",)),
    # files that are not what they should be
    "objects in npz": (
        changed(query_feature=lambda x: x.astype(object)),
        ("mine.npz, array query_feature: holds Python objects, which are never loaded",),
    ),
    "objects in npy": (
        saved("gallery.npy", lambda x: x.astype(object)),
        ("gallery.npy: holds Python objects, which are never loaded",),
    ),
    "objects as identities": (
        changed(query_pid=lambda x: x.astype(object)),
        ("mine.npz, array query_pid: holds Python objects",),
    ),
    "pickle": (
        file("query.npy", pickle.dumps([1.0])),
        ("query.npy: is not .npy: it is a pickle, which could run code",),
    ),
    "structured": (
        saved("query.npy", lambda x: x.view([("a", "<f4"), ("b", "<f4")])),
        ("query.npy: has the structured or unknown type",),
    ),
    "bfloat16 as numpy saves it": (
        saved("query.npy", lambda x: x.astype(np.float16).view("V2")),
        ("|V2", "bfloat16 has no .npy type"),
    ),
    "cut npy": (
        resized("gallery.npy", -100),
        (
            "gallery.npy: is cut: 90 × 24 values of float32 make 8,768 bytes, and there are 8,668",
            "again",
        ),
    ),
    "cut header": (file("gallery.npy", b"\x93NUMPY\x01\x00v\x00{'descr"), ("damaged .npy header",)),
    "cut magic": (file("gallery.npy", b"\x93NUM"), ("begins with",)),
    "empty npy": (file("gallery.npy", b""), ("gallery.npy: is not .npy: it is empty",)),
    "longer npy": (
        resized("gallery.npy", 8),
        ("is longer than its header says", "8,768 bytes, and there are 8,776", "one array a file"),
    ),
    "text as npy": (
        file("query.npy", b"1.0,2.0\n3.0,4.0\n"),
        ("query.npy: is not .npy: it begins with b'1.0,2.0\\n'", "numpy.save"),
    ),
    "npz as npy": (file("query.npy", b"PK\x03\x04 and more"), ("is a zip, as .npz files",)),
    "parquet as npy": (file("query.npy", b"PAR1 and more"), ("it is Parquet",)),
    "future npy": (file("query.npy", b"\x93NUMPY\x09\x00 and"), ("has .npy version 9.0",)),
    "code in the header": (
        file("query.npy", b"\x93NUMPY\x01\x00\x18\x00__import__('os').abort()"),
        ("damaged .npy header",),
    ),
    "negative shape": (
        file(
            "query.npy",
            b"\x93NUMPY\x01\x00\x46\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 24), }".ljust(69)
            + b"\n",
        ),
        ("impossible shape (-1, 24)",),
    ),
    "cut npz": (cut_npz, ("mine.npz: cannot be read as .npz",)),
    "flipped bit in npz": (
        damaged_member,
        ("cannot be read as .npz (the checksum of array gallery_feature does not fit)",),
    ),
    "flipped bits in compressed npz": (damaged_compression, ("cannot be read as .npz",)),
    "two arrays of one name": (twice_in_a_zip, ("two arrays have the same name",)),
    "npz without features": (
        changed(query_feature=None, gallery_feature=None),
        ("lacks query_feature, gallery_feature", "It holds gallery_camid"),
    ),
    "singular and plural": (
        changed(query_pids=np.arange(12)),
        ("holds both query_pid and query_pids",),
    ),
    "no parquet": (
        lambda folder, _: [folder / "x.parquet"] if (folder / "x.parquet").write_text("a") else [],
        ("x.parquet: cannot be read as Parquet",),
    ),
    "absent": (lambda folder, _: [folder / "no.npz"], ("no.npz: is not there",)),
    "absent npy": (
        lambda folder, _: [folder / "q.npy", folder / "g.npy"],
        ("q.npy: is not there",),
    ),
    "absent folder": (lambda folder, _: [folder / "none"], ("none: is not there",)),
    "empty folder": (lambda folder, _: [folder], ("neither query.npy nor query.parquet",)),
    "one npy": (
        lambda folder, good: [write_folder(folder, good)[0] / "query.npy"],
        ("query.npy: is one array", "Give two"),
    ),
    "checkpoint": (
        lambda folder, _: [(folder / "x.pt")] if (folder / "x.pt").write_text("a") else [],
        ("x.pt: is none of .npz, .npy and .parquet: it ends in .pt", "pickles can run code"),
    ),
    "three files": (
        lambda folder, _: [folder / "a.npy"] * 3,
        ("3 files of features and 0 of names", "one a side"),
    ),
    "one file of names": (
        lambda folder, _: {"files": [folder / "a.npy"] * 2, "names": [folder / "a.txt"]},
        ("2 files of features and 1 of names",),
    ),
    # identities and cameras
    "no identities": (
        changed(query_pid=None, query_name=None),
        ("mine.npz: comes without identities (pid) of the query images",),
    ),
    "no cameras": (
        changed(query_camid=None, query_name=None),
        ("without cameras (camid) of the query images", "--ignore-cameras does without"),
    ),
    "nothing beside": (
        removed("query_pid.npy", "query_camid.npy", "query_name.npy"),
        ("query.npy: comes without identities (pid) and cameras (camid)", "--names QUERY.txt"),
    ),
    "too few identities": (
        changed(query_pid=np.arange(11)),
        ("mine.npz: holds 11 values of query_pid for the 12 query images",),
    ),
    "too many cameras": (
        saved("gallery_camid.npy", lambda x: np.tile(x, 2)),
        ("gallery_camid.npy: holds 180 values of camid for the 90 gallery images of gallery.npy",),
    ),
    "too few names": (
        names_only(NAMES, "0001_c2s1_1_00.jpg"),
        ("gallery.txt: holds 1 values of name for the 3 gallery images",),
    ),
    "identities in a column": (
        changed(query_pid=lambda x: x[:, None]),
        ("mine.npz, query_pid: has shape (12, 1)", "x.ravel()"),
    ),
    "identities as floats": (
        changed(query_pid=lambda x: x.astype(float)),
        ("query_pid: has type float64; needed are whole numbers or text", "np.int64"),
    ),
    "huge identities": (
        changed(query_pid=lambda x: x.astype(np.uint64) + np.uint64(2**63)),
        ("query_pid: has type uint64",),
    ),
    "negative identity": (
        changed(gallery_pid=lambda x: np.where(np.arange(90) == 8, -7, x)),
        ("mine.npz, gallery_pid, row 8: 1 images have a negative identity: -7", "-1 (junk"),
    ),
    "junk among names": (
        changed(
            query_pid=np.array([f"p{row}" for row in range(12)]),
            gallery_pid=np.array([f"p{row}" for row in range(89)] + ["-1"]),
        ),
        ("gallery_pid, row 89: holds -1 among identities that are names",),
    ),
    "an empty name": (
        changed(query_pid=np.array(["a"] * 11 + [""]), gallery_pid=np.array(["a"] * 90)),
        ("query_pid, row 11: is empty",),
    ),
    "numbers that were floats": (
        changed(
            query_pid=lambda x: x.astype(float).astype(str),
            gallery_pid=lambda x: x.astype(float).astype(str),
        ),
        ("mine.npz, query_pid, row 0: holds 1.0, which is neither a whole number nor a name",),
    ),
    "missing identities": (
        changed(query_pid=np.array(["ann"] * 11 + ["nan"]), gallery_pid=np.array(["ann"] * 90)),
        ("query_pid, row 11: holds nan",),
    ),
    "numbers against names": (
        changed(gallery_pid=np.array(["ann"] * 90)),
        ("mine.npz, query_pid: holds whole numbers, where", "Spell both sides alike"),
    ),
    "cameras against names": (
        changed(gallery_camid=np.array(["c1"] * 90)),
        ("mine.npz, query_camid: holds whole numbers",),
    ),
    "one camera": (
        changed(query_camid=np.ones(12, int), gallery_camid=np.ones(90, int)),
        (
            "mine.npz: no query has a match: all 24 pairs of the same identity, of 12 queries",
            "(camera 1: 24)",
            "--ignore-cameras",
        ),
    ),
    "one camera with a name": (
        changed(query_camid=np.array(["door"] * 12), gallery_camid=np.array(["door"] * 90)),
        ("(camera door: 24)",),
    ),
    "nobody in common": (
        changed(gallery_pid=np.arange(1000, 1090)),
        ("mine.npz: no query has a match: none of the 12 queries' identities is in the gallery",),
    ),
    # names
    "names that do not fit": (
        names_only(NAMES, "a.jpg\nb.jpg\n0001_c2_1.jpg"),
        ("gallery.txt, line 1: 2 of 3 names do not fit the pattern market1501: a.jpg, b.jpg",),
    ),
    "a name is lacking": (
        names_only("0001_c1.jpg\n\n0003_c1.jpg", GALLERY_NAMES),
        ("query.txt, line 2: lacks a name",),
    ),
    "a distractor searches": (
        names_only(NAMES.replace("0002", "0000"), GALLERY_NAMES),
        ("query.txt, line 2: the query 0000_c1s1_2_00.jpg would be a distractor", "dukemtmc"),
    ),
    "no expression": (
        names_only(NAMES, GALLERY_NAMES, name_pattern="(?P<pid>"),
        ("name pattern '(?P<pid>' is no regular expression", "market1501, dukemtmc"),
    ),
    "no group": (
        names_only(NAMES, GALLERY_NAMES, name_pattern=r"(?P<pid>\d+)"),
        ("has no group camid", "(?P<camid>"),
    ),
    "pattern without use": (
        lambda folder, good: {"files": write_npz(folder, good), "name_pattern": "market1501"},
        ("mine.npz: holds identities and cameras already",),
    ),
    "negative in a name": (
        names_only(NAMES, GALLERY_NAMES.replace("0002", "-2")),
        ("gallery.txt, line 2: 1 images have a negative identity: -2",),
    ),
    # tables
    "csv without header": (
        with_csv("1,1\n2,1\n"),
        ("query.csv, line 1: names no column pid, camid or name", "It names 1, 1"),
    ),
    "empty csv": (with_csv(""), ("query.csv, line 1: names no column", "It names nothing")),
    "uneven csv": (with_csv("pid,camid\n1\n2,1\n"), ("line 2: has 1 values for 2 columns",)),
    "csv with an empty cell": (with_csv("pid,camid\n1,1\n,1\n"), ("line 3: lacks a pid",)),
    "latin csv": (with_csv("pid,camid\nJos\xe9,1\n"), ("query.csv, byte 13: is no UTF-8 text",)),
    "open quote": (with_csv('pid,camid\n"1,1\n'), ("query.csv: is no CSV",)),
    "short csv": (
        with_csv("pid,camid\n1,1\n"),
        ("query.csv: holds 1 values of pid for the 2 query images of query.npy",),
    ),
    "two tables": (
        with_csv("0001_c1\n0002_c1\n", "gallery.txt"),
        ("gallery.txt: stands beside gallery.csv",),
    ),
    "said twice": (
        lambda folder, good: (
            [write_folder(folder, good)[0]]
            if (folder / "query.csv").write_text("pid\n" + "1\n" * 12)
            else []
        ),
        ("query.csv: holds pid, which", "query_pid.npy holds too"),
    ),
    "names in another format": (
        lambda folder, good: {"files": write_npz(folder, good), "names": [folder / "q.json"] * 2},
        ("q.json: is neither .txt nor .csv",),
    ),
    # Parquet
    "no feature column": (parquet(feature=None), ("lacks the column feature", "It holds pid")),
    "no split column": (
        joint(lambda sheet: sheet.drop_columns(["split"])),
        ("mine.parquet: lacks the column split", "one file a side"),
    ),
    "another split": (
        joint(
            lambda sheet: sheet.drop_columns(["split"]).append_column(
                "split", pa.array(["query", "train"] * (len(sheet) // 2))
            )
        ),
        ("mine.parquet, split, row 1: 51 rows are of the split 'train'",),
    ),
    "another side's rows": (
        parquet(split=["gallery"] * 89 + ["query"]),
        ("gallery.parquet, split, row 89: 1 rows of the gallery file are of the split 'query'",),
    ),
    "no query": (
        joint(
            lambda sheet: sheet.drop_columns(["split"]).append_column(
                "split", pa.array(["gallery"] * len(sheet))
            )
        ),
        ("holds no row of the split query",),
    ),
    "no rows": (joint(lambda sheet: sheet.slice(0, 0)), ("mine.parquet: holds no row",)),
    "empty cell": (
        parquet(feature=lists(emptied(40))),
        ("gallery.parquet, feature, row 40: 1 cells of column feature are empty",),
    ),
    "empty number": (
        parquet(feature=lists(lambda rows: [[None, *row[1:]] for row in rows])),
        ("gallery.parquet, feature, row 0: features with empty cells",),
    ),
    "empty identity": (
        parquet(pid=pa.array([*range(1, 90), None])),
        ("gallery.parquet, pid, row 89: 1 cells of column pid are empty",),
    ),
    "uneven lists": (
        parquet(feature=lists(lambda rows: [*rows[:-1], rows[-1][:5]])),
        ("feature, row 89: has 5 numbers, where the first row has 24",),
    ),
    "numbers in place of lists": (
        parquet(feature=pa.array([1.0] * 90)),
        ("column feature: has type double, not lists",),
    ),
    "lists of integers": (
        parquet(feature=lists(lambda rows: [[1] * 24 for _ in rows], pa.list_(pa.int32()))),
        ("feature: the features have type int32",),
    ),
    "lists of text": (
        parquet(feature=lists(lambda rows: [["1"] * 24 for _ in rows], pa.list_(pa.string()))),
        ("gallery.parquet, feature: the features have type",),
    ),
    "identities as doubles": (
        parquet(pid=pa.array([1.0] * 90)),
        ("column pid: has type double; needed are whole numbers or text",),
    ),
    "NaN in parquet": (
        parquet(feature=lists(lambda rows: [*rows[:-1], [np.nan] * 24])),
        ("gallery.parquet, row 89 (gallery/", "hold NaN or infinity"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, tmp_path: Path) -> None:
    make, words = CASES[case]
    made = make(tmp_path, people())
    options = made if isinstance(made, dict) else {"files": made}
    with pytest.raises(BagreidError) as caught:
        load_features(*options.pop("files"), **options)
    said = str(caught.value)
    for part in words:
        assert part in said
    assert "\n" not in said
    assert caught.value.remedy, said


def test_a_changed_row_is_caught_wherever_it_stands(tmp_path: Path) -> None:
    """Rows are looked at in blocks: none falls between two."""
    good = people(gallery=400, dim=4096)
    for row in (0, 255, 256, 257, 399):
        feature = put(row, np.nan)(good["gallery_feature"])
        (path,) = write_npz(tmp_path, {**good, "gallery_feature": feature})
        with pytest.raises(BagreidError, match=rf"row {row} \("):
            load_features(path)
