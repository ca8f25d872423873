"""``bagreid evaluate --features`` from the outside, and what it says of features it cannot rank."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from bagreid.cli.main import main
from bagreid.contracts import BagreidError
from bagreid.evaluation import ImageFeatures, evaluate_features

from .people import people, write_npz


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("BAGREID_CACHE", str(tmp_path / "cache"))


def write_pair(folder: Path) -> list[str]:
    """Features, and names elsewhere."""
    arrays = people()
    arrays["query_feature"][1] = arrays["query_feature"][0]
    arrays["gallery_camid"][2] = arrays["gallery_camid"][14]
    arrays["gallery_name"][2] = "gallery/0003_c1s1_000002_00.jpg"
    for side in ("query", "gallery"):
        np.save(folder / f"{side}.npy", arrays[f"{side}_feature"])
        (folder / f"{side}-list.txt").write_text("\n".join(arrays[f"{side}_name"]))
    features = [str(folder / f"{side}.npy") for side in ("query", "gallery")]
    names = [str(folder / f"{side}-list.txt") for side in ("query", "gallery")]
    return ["--features", *features, "--names", *names]


def test_a_pair_with_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_pair(tmp_path)
    out = tmp_path / "o.json"
    assert main(["evaluate", *arguments, "--json", str(out), "--method", "mine"]) == 0
    said = capsys.readouterr().out
    assert "12 queries against 90 gallery images: 11 matches" in said
    assert "13 pairs of the same camera" in said
    assert "1 of them would have one, but by their own camera." in said
    assert "1 queries repeat an earlier one (its name or its features): each counts." in said
    record = orjson.loads(out.read_bytes())
    assert record["input"]["files"] == arguments[1:3]
    assert record["counts"]["queries_lost_to_cameras"] == 1
    assert record["queries"][0]["name"].startswith("query/0001_c1s1_")
    assert record["camera_filter"]


def test_ignored_cameras_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_pair(tmp_path)
    out = tmp_path / "o.json"
    assert main(["evaluate", *arguments, "--ignore-cameras", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    assert "24 matches" in said
    assert "Cameras are ignored" in said
    assert orjson.loads(out.read_bytes())["camera_filter"] is False


def test_a_process_of_its_own_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    arrays = people()
    arrays["gallery_feature"][7, 0] = np.inf
    (path,) = write_npz(tmp_path, arrays)
    command = [sys.executable, "-m", "bagreid.cli.main", "evaluate", "--features", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"bagreid evaluate: {path}, row 7 (gallery/0008_c2s1_000007_00.jpg): the gallery features "
        "of 1 of 90 images hold NaN or infinity. Extract these images again; a row of zeros may "
        "stand for one that cannot be read: it scores 0 with everybody"
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--names", "a.txt", "b.txt"],
        ["--name-pattern", "market1501"],
        ["--ignore-cameras"],
    ],
)
def test_options_of_features_only(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "work_dir", *arguments]) == 2
    assert "go with --features" in capsys.readouterr().err


def test_features_that_are_found_unfit_while_ranking_are_named_too() -> None:
    """Those of ``bagreid extract`` are not looked at before."""
    arrays = people()
    arrays["gallery_feature"][[7, 9], 0] = np.nan
    query, gallery = (
        ImageFeatures(
            features=arrays[f"{side}_feature"],
            pids=arrays[f"{side}_pid"],
            camids=arrays[f"{side}_camid"],
            names=arrays[f"{side}_name"].tolist(),
            path=Path("out") / side,
        )
        for side in ("query", "gallery")
    )
    with pytest.raises(BagreidError) as caught:
        evaluate_features(query, gallery, method="mine")
    assert str(caught.value).startswith(
        "out/gallery, row 7 (gallery/0008_c2s1_000007_00.jpg), 9 (gallery/0010_c2s1_000009_00.jpg)"
        ": the gallery features of 2 images hold NaN or infinity"
    )
