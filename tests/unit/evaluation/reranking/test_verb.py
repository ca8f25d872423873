"""`bagreid evaluate --rerank` from the outside, and how much memory re-ranking takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from bagreid.cli.main import main
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.reranking import Reranker, Reranking

from .problems import draw_problem


def write(problem: dict[str, np.ndarray], path: Path) -> Path:
    np.savez(path, **problem)
    return path


def test_both_results_are_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    problem = draw_problem(21, 30, 150, "clustered")
    out = tmp_path / "out.json"
    mine = write(problem, tmp_path / "mine.npz")
    options = ["--rerank", "--rerank-k1", "7", "--rerank-k2", "3", "--rerank-lambda", "0.5"]
    assert main(["evaluate", "--features", str(mine), "--json", str(out), *options]) == 0
    printed = capsys.readouterr().out
    config = Reranking(k1=7, k2=3, original_weight=0.5)
    plain = evaluate_ranking(**problem, convention="sysu30k")
    result = evaluate_ranking(**problem, convention="sysu30k", reranker=Reranker(config=config))
    assert plain.mean_ap != result.mean_ap
    before, after = printed.split("Re-ranked by k-reciprocal neighbours (k1 = 7, k2 = 3, λ = 0.5)")
    assert f"{plain.mean_ap:.2%}" in before
    assert f"{result.mean_ap:.2%}" in after
    record = orjson.loads(out.read_bytes())
    assert record["mean_ap"] == result.mean_ap
    assert record["reranking"]["before"]["mean_ap"] == plain.mean_ap


def test_without_the_flag_nothing_is_different(tmp_path: Path) -> None:
    mine = write(draw_problem(21, 30, 150, "clustered"), tmp_path / "mine.npz")
    out = tmp_path / "out.json"
    assert main(["evaluate", "--features", str(mine), "--json", str(out)]) == 0
    assert "reranking" not in orjson.loads(out.read_bytes())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rerank-k1", "9"], "go with --rerank"),
        (["--rerank", "--rerank-k1", "0"], "--rerank-k1 and --rerank-k2 are at least 1"),
        (["--rerank", "--rerank-lambda", "1.5"], "--rerank-lambda 0 to 1"),
    ],
)
def test_parameters_that_cannot_be_are_refused_at_once(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--features", "absent.npz", *options]) == 2
    assert words in capsys.readouterr().err


def test_features_that_are_not_normalised_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = draw_problem(21, 30, 150, "clustered")
    problem["gallery_feature"][77] *= 3
    mine = write(problem, tmp_path / "mine.npz")
    assert main(["evaluate", "--features", str(mine)]) == 0
    assert main(["evaluate", "--features", str(mine), "--rerank"]) == 2
    assert "row 77: a gallery feature has norm 3" in capsys.readouterr().err


IMAGES, DIM = 16_000, 32

ALLOWED = 256 * 2**20
"""Bytes of memory of its own: an eighth of one table of all distances in float64."""

PROGRAM = """
import resource, sys
import numpy as np, torch
from pathlib import Path
from bagreid.evaluation import evaluate_ranking
from bagreid.evaluation.reranking import Reranker, Walk
torch.set_num_threads(1)
warm = torch.ones(64, 64) @ torch.ones(64, 64)
features = np.load(sys.argv[2], mmap_mode="r")
pid = np.arange(len(features)) % 4000
status = Path("/proc/self/status").read_text().split()
own = int(status[status.index("VmData:") + 1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + int(sys.argv[1]),) * 2)
result = evaluate_ranking(
    features[:100], pid[:100], np.ones(100, int), features[100:], pid[100:],
    np.full(len(pid) - 100, 2), convention="standard", reranker=Reranker(walk=Walk(slab=2048)),
)
print(result.counts.gallery, result.mean_ap)
"""


def test_memory_does_not_grow_with_the_square(tmp_path: Path) -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    centres = rng.standard_normal((4000, DIM))
    values = centres[np.arange(IMAGES) % 4000] + 0.5 * rng.standard_normal((IMAGES, DIM))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    np.save(tmp_path / "features.npy", values.astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ALLOWED), str(tmp_path / "features.npy")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("15900 ")
