"""Re-ranking on many real processes, and killed, gives the bytes of one undisturbed one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from ranks import end, run, start

from bagreid.evaluation.reranking import keeping
from bagreid.evaluation.reranking.search import Walk


def cut_small(_rank: int) -> None:
    """Many slabs and tiles even of few images, and every slab kept at once."""
    Walk.__init__.__kwdefaults__ |= {"slab": 128, "block": 40}
    keeping._SECONDS_BETWEEN = 0.0


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People seen several times; some images are there twice, so that neighbours tie."""
    rng = np.random.Generator(np.random.Philox(key=6))
    person = rng.integers(0, 60, 700)
    values = rng.standard_normal((60, 24))[person] + 0.8 * rng.standard_normal((700, 24))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    values[600:] = values[500:600]
    camera = np.where(np.arange(700) < 50, 2, 1)
    arrays: dict[str, Any] = {}
    for side, part in (("query", slice(0, 50)), ("gallery", slice(50, None))):
        arrays[f"{side}_feature"] = values[part].astype(np.float32)
        arrays[f"{side}_pid"], arrays[f"{side}_camid"] = person[part], camera[part]
    path = tmp_path_factory.mktemp("mine") / "mine.npz"
    np.savez(path, **arrays)
    return path


def command(features: Path, out: Path, *more: object) -> list[object]:
    options = ["--features", features, "--device", "cpu", "--rerank", "--rerank-k1", "9"]
    return ["evaluate", *options, "--json", out, *more]


@pytest.fixture(scope="module")
def undisturbed(features: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("one")
    run(command(features, folder / "out.json"), 1, folder / "said")
    return (folder / "out.json").read_bytes()


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_processes_share_the_search(
    features: Path, undisturbed: bytes, tmp_path: Path, size: int
) -> None:
    out, keep = tmp_path / "out.json", tmp_path / "keep"
    run(command(features, out, "--keep", keep), size, tmp_path / "said", cut_small)
    assert out.read_bytes() == undisturbed
    names = {path.name for path in (keep / "neighbours").iterdir()}
    assert names == {f"neighbours-{rank}-of-{size}.safetensors" for rank in range(size)}


def test_killed_it_goes_on(features: Path, undisturbed: bytes, tmp_path: Path) -> None:
    out, keep = tmp_path / "out.json", tmp_path / "keep"
    wanted = command(features, out, "--keep", keep)
    killed = 0
    for _ in range(3):
        (process,) = start(wanted, 1, tmp_path / "said", cut_small)
        while process.is_alive() and not list(keep.glob("neighbours/*.safetensors")):
            time.sleep(0.001)
        time.sleep(0.01)
        killed += process.is_alive()
        process.kill()
        process.join()
    assert killed
    run(wanted, 1, tmp_path / "said", cut_small)
    assert out.read_bytes() == undisturbed


def test_what_one_process_cannot_go_on_from_all_refuse(features: Path, tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    wanted = command(features, tmp_path / "out.json", "--keep", keep)
    run(wanted, 2, tmp_path / "said", cut_small)
    (keep / "neighbours" / "neighbours-1-of-2.safetensors").write_bytes(b"torn")
    assert end(start(wanted, 2, tmp_path / "said", cut_small)) == [2, 2]
    said = [(tmp_path / "said" / str(rank)).read_text() for rank in (0, 1)]
    assert ["is no kept search" in text for text in said] == [True, False]


def test_the_record_tells_what_was_done(undisturbed: bytes) -> None:
    record = orjson.loads(undisturbed)
    told = record["reranking"]
    assert [told[key] for key in ("k1", "k2", "original_weight")] == [9, 6, 0.3]
    assert record["mean_ap"] > told["before"]["mean_ap"]
    assert len(told["before"]["cmc"]) == len(record["cmc"])
    assert len(told["before"]["first_match_rank"]) == len(record["queries"])
