"""Reading members in place."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import tarfile
from pathlib import Path

import pytest

from bagreid.contracts import BagreidError
from bagreid.shards import ShardReader, scan_tar


@pytest.fixture
def tars(tmp_path: Path) -> list[Path]:
    paths = []
    for shard in range(2):
        paths.append(tmp_path / f"{shard}.tar")
        with tarfile.open(paths[-1], "w") as tar:
            for member in range(5):
                data = bytes([shard, member]) * (100 * member)
                info = tarfile.TarInfo(f"{member}.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return paths


def everything(reader: ShardReader) -> list[list[bytes]]:
    out = []
    for shard, path in enumerate(reader.paths):
        index = scan_tar(path)
        places = zip(index.offset.tolist(), index.size.tolist(), strict=True)
        out.append([bytes(reader.read(shard, *place)) for place in places])
    return out


def expected() -> list[list[bytes]]:
    return [[bytes([s, m]) * (100 * m) for m in range(5)] for s in range(2)]


def test_reads_what_tarfile_wrote(tars: list[Path]) -> None:
    with ShardReader(tars) as reader:
        assert everything(reader) == expected()
        view = reader.read(0, 512, 0)
        assert view.readonly
    assert everything(reader) == expected()  # closed readers open again when asked


def test_a_view_outlives_the_reader(tars: list[Path]) -> None:
    reader = ShardReader(tars)
    index = scan_tar(tars[1])
    view = reader.read(1, int(index.offset[2]), int(index.size[2]))
    reader.close()
    del reader
    assert bytes(view) == bytes([1, 2]) * 200


def test_pickled_readers_carry_paths_only(tars: list[Path]) -> None:
    reader = ShardReader(tars)
    assert everything(reader) == expected()
    raw = pickle.dumps(reader)
    assert len(raw) < 1000
    assert everything(pickle.loads(raw)) == expected()  # noqa: S301


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_works_in_other_processes(tars: list[Path], method: str) -> None:
    reader = ShardReader(tars)
    assert everything(reader) == expected()
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(everything, (reader,)) == expected()


def test_a_changed_or_missing_tar_is_told(tars: list[Path], tmp_path: Path) -> None:
    reader = ShardReader([*tars, tmp_path / "absent.tar"])
    size = tars[0].stat().st_size
    for offset, length in [(size, 1), (size - 1, 2), (-1, 1), (0, size + 1)]:
        with pytest.raises(BagreidError, match="again"):
            reader.read(0, offset, length)
    with pytest.raises(BagreidError, match=r"absent\.tar"):
        reader.read(2, 0, 1)
    (tmp_path / "absent.tar").write_bytes(b"")
    with pytest.raises(BagreidError, match="holds 0 bytes"):
        reader.read(2, 0, 1)
