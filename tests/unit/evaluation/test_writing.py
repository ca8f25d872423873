"""Folders of features that were stopped anywhere: what is kept, what is refused."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagreid.contracts import BagreidError
from bagreid.evaluation import shards, writing
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.folders import open_features
from bagreid.evaluation.pieces import Piece
from bagreid.evaluation.shards import Batch, ShardWriter, Standing, read_standing, recover
from bagreid.evaluation.sources import FeatureSource, as_source
from bagreid.evaluation.writing import Task, collect_features, write_features
from bagreid.world import World

COUNT, DIM, BATCH = 23, 5, 4
VALUES = torch.randn(COUNT, DIM, generator=torch.Generator().manual_seed(0))
BROKEN = (3, 20)


class StopError(Exception):
    """Somebody pulled the plug."""


def task(stored: str = "float32", batch: int = BATCH, **job: str) -> Task:
    images = ImageFeatures(
        features=np.zeros((0, 0)),
        pids=np.arange(COUNT) % 3,
        camids=np.ones(COUNT, np.int64),
        rows=np.arange(100, 100 + COUNT),
        kind="backbone",
    )
    return Task(
        count=COUNT, job={"weights": "a", "dtype": stored, **job}, stored=stored, batch=batch,
        source="test", images=images,
    )  # fmt: skip


class Network:
    """Gives the rows of a table, a batch at a time, until its batches are used up."""

    def __init__(self, life: int = 10**9, batch: int = BATCH) -> None:
        self.life, self.batch = life, batch
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> Generator[Batch, None, None]:
        for at in range(start, stop, self.batch):
            places = range(at, min(at + self.batch, stop))
            if not self.life:
                raise StopError
            self.life -= 1
            self.asked.append((places.start, places.stop))
            part = VALUES[places.start : places.stop].clone()
            broken = [place for place in places if place in BROKEN]
            part[[place - at for place in broken]] = 0
            yield Batch(part, part.double().norm(dim=1).numpy(), [100 + p for p in broken])


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "f"
    write_features(folder, task(), Network(), world=World())
    return folder


def numbers(source: object) -> torch.Tensor:
    values: FeatureSource = as_source(source)  # type: ignore[arg-type]
    return values.block(0, values.shape[0]).clone()


def expected() -> torch.Tensor:
    values = VALUES.clone()
    values[list(BROKEN)] = 0
    return values


def test_a_folder_holds_what_was_computed(whole: Path) -> None:
    images = open_features(whole)
    assert torch.equal(numbers(images.features), expected())
    assert images.broken == (103, 120)
    assert images.kind == "backbone"
    assert images.norms is not None
    np.testing.assert_array_equal(images.norms, expected().double().norm(dim=1))
    assert sorted(content(whole)) == [
        "camids.npy", "features-000000000.npy", "meta.json", "norms.npy", "pids.npy", "rows.npy",
    ]  # fmt: skip
    assert np.load(whole / "features-000000000.npy").shape == (COUNT, DIM)


@pytest.mark.parametrize("stored", ["float32", "float16", "bfloat16", "float64"])
def test_every_type_is_stored_rounded_once(tmp_path: Path, stored: str) -> None:
    images = write_features(tmp_path / "f", task(stored), Network(), world=World())
    kept = collect_features(task(stored), Network(), world=World())
    wanted = expected().to(getattr(torch, stored))
    for found in (images, kept):
        assert as_source(found.features).dtype == wanted.dtype
        assert torch.equal(numbers(found.features), wanted)
        assert found.broken == (103, 120)
    np.testing.assert_array_equal(images.norms, kept.norms)


@pytest.mark.parametrize("life", range(7))
def test_stopped_after_any_batch_it_goes_on_there(whole: Path, tmp_path: Path, life: int) -> None:
    first, said = Network(life), list[str]()
    calls: list[tuple[int, int]] = []
    try:
        write_features(tmp_path, task(), first, world=World())
    except StopError:
        assert not (tmp_path / "meta.json").exists()
        with pytest.raises(BagreidError, match="the same command goes on"):
            open_features(tmp_path)
    second = Network()
    write_features(
        tmp_path, task(), second, world=World(), say=said.append,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert first.asked + second.asked == Network_batches()
    assert content(tmp_path) == content(whole)
    if 0 < life < 6:
        assert calls[0] == (life * BATCH, COUNT)
        assert said == [f"{tmp_path}: going on, {life * BATCH} of {COUNT} images are done."]
    if life == 6:
        assert said == [f"{tmp_path}: all {COUNT} images are done already."]


def Network_batches() -> list[tuple[int, int]]:  # noqa: N802
    return [(at, min(at + BATCH, COUNT)) for at in range(0, COUNT, BATCH)]


@given(st.integers(0, 700), st.integers(0, 900), st.integers(0, 6))
def test_files_cut_anywhere_lose_only_what_is_cut(data: int, journal: int, life: int) -> None:
    """A power cut may leave either file shorter, whatever the order they were written in."""
    with tempfile.TemporaryDirectory() as name:
        folder, piece = Path(name), Piece(0, COUNT, 0)
        network = Network(life)
        with suppress(StopError), ShardWriter(folder, piece, "job", "float32", Standing()) as w:
            for batch in network(0, COUNT):
                w.append(batch)
        paths = shards.partial_path(folder, piece), shards.journal_path(folder, piece)
        for path, length in zip(paths, (data, journal), strict=True):
            if length < path.stat().st_size:
                os.truncate(path, length)
        lines = paths[1].read_bytes().split(b"\n")[:-1]
        rows = [orjson.loads(line)["rows"] for line in lines[1:]]
        written = (paths[0].stat().st_size - 128) // (DIM * 4)
        whole_rows = max([n for n in rows if n <= written], default=0)
        standing = recover(folder, piece, "job", "float32")
        assert standing.rows == whole_rows
        assert read_standing(folder, piece) == standing
        if standing.rows:
            assert paths[0].stat().st_size == 128 + standing.rows * DIM * 4
        else:
            assert list(folder.iterdir()) == []


@pytest.mark.parametrize("where", [0, 40, 130, 250, 330])
def test_bytes_that_changed_are_computed_again(whole: Path, tmp_path: Path, where: int) -> None:
    with pytest.raises(StopError):
        write_features(tmp_path, task(), Network(4), world=World())
    path = tmp_path / "features-000000000.npy.partial"
    damaged = bytearray(path.read_bytes())
    damaged[where] ^= 1
    path.write_bytes(damaged)
    second = Network()
    write_features(tmp_path, task(), second, world=World())
    assert content(tmp_path) == content(whole)
    good = 4 if where < 128 else (where - 128) // (BATCH * DIM * 4)
    assert second.asked == Network_batches()[good:]


def test_a_stopped_run_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        write_features(tmp_path, task(), Network(2), world=World())
    before = content(tmp_path)
    with pytest.raises(BagreidError, match="weights a instead of b") as caught:
        write_features(tmp_path, task(weights="b"), Network(), world=World())
    assert "Name another folder" in str(caught.value)
    with pytest.raises(BagreidError, match="dtype float32 instead of float16"):
        write_features(tmp_path, task("float16"), Network(), world=World())
    assert content(tmp_path) == before
    shutil.copy(tmp_path / "features-000000000.journal", tmp_path / "kept")
    (tmp_path / "plan.json").unlink()
    write_features(tmp_path, task(weights="b"), (network := Network()), world=World())
    assert network.asked == Network_batches(), "files of another job are not taken up"


def test_a_finished_folder_of_something_else_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    shutil.copytree(whole, folder)
    with pytest.raises(BagreidError, match="weights a instead of b"):
        write_features(folder, task(weights="b"), Network(), world=World())
    assert content(folder) == content(whole)
    meta = orjson.loads((folder / "meta.json").read_bytes())
    del meta["job"]
    (folder / "meta.json").write_bytes(orjson.dumps(meta | {"schema": "bagreid.features/1"}))
    with pytest.raises(BagreidError, match="of an older bagreid"):
        write_features(folder, task(), Network(), world=World())


@pytest.mark.parametrize("cut", [100, 200, 588])
def test_a_finished_folder_that_was_damaged_is_written_again(
    whole: Path, tmp_path: Path, cut: int
) -> None:
    folder, said = tmp_path / "f", list[str]()
    shutil.copytree(whole, folder)
    path = folder / "features-000000000.npy"
    bytes_before = path.read_bytes()
    path.write_bytes(bytes_before[:cut] + bytes(1))
    write_features(folder, task(), Network(), world=World(), say=said.append)
    assert content(folder) == content(whole)
    assert "extracted again" in said[0]


def test_one_flipped_bit_is_found_out_by_the_same_command(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    shutil.copytree(whole, folder)
    path = folder / "features-000000000.npy"
    damaged = bytearray(path.read_bytes())
    damaged[300] ^= 1
    path.write_bytes(damaged)
    write_features(folder, task(), Network(), world=World())
    assert content(folder) == content(whole)


def test_a_smaller_batch_goes_on_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        write_features(tmp_path, task(), Network(3), world=World())
    second = Network(batch=2)
    images = write_features(tmp_path, task(batch=2), second, world=World())
    assert second.asked[0] == (12, 14)
    assert torch.equal(numbers(images.features), expected())
    assert images.broken == (103, 120)


def test_a_full_disk_is_an_error_that_can_be_gone_on_from(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shards._write_all
    left = [700]

    def limited(file: object, data: bytes) -> None:
        room = min(left[0], len(data))
        real(file, memoryview(data)[:room])  # type: ignore[arg-type]
        left[0] -= room
        if room < len(data):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_write_all", limited)
        with pytest.raises(BagreidError, match=r"No space left on device.*Make room"):
            write_features(tmp_path, task(), Network(), world=World())
    second = Network()
    write_features(tmp_path, task(), second, world=World())
    assert second.asked != Network_batches()
    assert content(tmp_path) == content(whole)


def test_two_commands_do_not_write_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_LOCK_SECONDS", 0.0)
    ready, stop = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        with (tmp_path / writing._LOCK).open("ab") as file:
            shards.lock(file, tmp_path)
            os.write(ready[1], b"x")
            os.read(stop[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        with pytest.raises(BagreidError, match="another process is writing these features"):
            write_features(tmp_path, task(), Network(), world=World())
    finally:
        os.write(stop[1], b"x")
        os.waitpid(child, 0)
    write_features(tmp_path, task(), Network(), world=World())


def test_many_processes_need_a_folder() -> None:
    with pytest.raises(ValueError, match="many processes need a folder"):
        collect_features(task(), Network(), world=World(size=2))
