"""`bagreid extract` and `bagreid evaluate` from the outside."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from bagreid.catalog import Catalog
from bagreid.cli.main import main
from bagreid.models import ModelConfig, build_model
from bagreid.training.saving import CheckpointWriter

FIXTURE = Path(__file__).parents[2] / "reference" / "fixtures" / "evaluation.npz"


@pytest.fixture(scope="module")
def run(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of a run that learned nothing."""
    folder = tmp_path_factory.mktemp("run")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model(ModelConfig(backbone="resnet10t"), 8)
    config = {
        "model": {"backbone": "resnet10t"},
        "augment": {"height": 48, "width": 24, "interpolation": "bilinear"},
        "data": {"root": str(catalog.root)},
    }
    told = {"config": config, "identities": list(range(8))}
    with CheckpointWriter(folder / "checkpoints", keep=1, describe=told) as writer:
        writer.save(3, {"model": network.state_dict()})
    return folder


@pytest.fixture(autouse=True)
def _catalog_cache(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAGREID_CACHE", str(catalog.root.parent / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


def read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = orjson.loads(path.read_bytes())
    return record


def test_a_run_a_checkpoint_and_its_features_agree(
    run: Path, catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(run / "checkpoints" / "step-000000003.pt")
    root, out = str(catalog.root), tmp_path / "out"
    common = ["--workers", "0", "--device", "cpu"]
    assert main(["evaluate", str(run), *common]) == 0
    assert main(["extract", str(out), "--checkpoint", checkpoint, "--root", root, *common]) == 0
    assert f"evaluate --features {out}" in capsys.readouterr().out
    assert main(["evaluate", "--features", str(out), "--json", str(tmp_path / "f.json")]) == 0
    text = capsys.readouterr().out
    assert "Convention sysu30k" in text
    assert "5 queries against 19 gallery images: 5 matches, 14 distractors" in text
    wanted = ["evaluate", "--checkpoint", checkpoint, "--root", root, *common]
    assert main([*wanted, "--json", str(tmp_path / "c.json"), "--keep", str(tmp_path / "k")]) == 0
    records = [read(run / "evaluation.json"), read(tmp_path / "f.json"), read(tmp_path / "c.json")]
    assert [record.pop("method") for record in records] == [run.name, "out", "step-000000003"]
    assert records[0] == records[1] == records[2]
    assert np.load(tmp_path / "k" / "gallery" / "features-000000000.npy").shape == (19, 512)


def test_own_features_in_both_conventions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.npz"
    with np.load(FIXTURE) as arrays:
        np.savez(path, **{k.removeprefix("0/"): arrays[k] for k in arrays.files if k[0] == "0"})
    assert main(["evaluate", "--features", str(path)]) == 0
    sysu30k = capsys.readouterr().out
    assert main(["evaluate", "--features", str(path), "--convention", "standard"]) == 0
    standard = capsys.readouterr().out
    assert "57.5%" in sysu30k
    assert "24.63%" in sysu30k
    assert "42.2% – 71.5%" in sysu30k
    assert "60.5%" in standard
    assert "26.68%" in standard
    assert "2 queries have no match" in standard


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give one of WORK_DIR, --checkpoint and"),
        (["--checkpoint", "x.pt"], "--checkpoint needs --root"),
        (["--features", "x.npz", "--convention", "market"], "market"),
        (["--featurs", "x.npz"], "--features"),
        (["--features", "x.npz", "--batch-size", "0"], "batch_size must be at least 1"),
    ],
)
def test_bad_usage_exits_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["evaluate", *arguments])
    except SystemExit as caught:  # an unknown option is answered by the parser itself
        code = caught.code
    assert code == 2
    said = capsys.readouterr()
    assert words in " ".join((said.out + said.err).replace("│", " ").split())


def test_bad_input_is_one_line_and_exits_2(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nonsense = tmp_path / "weights.pt"
    nonsense.write_bytes(b"no checkpoint")
    for arguments in (
        ["--features", str(tmp_path / "absent.npz")],
        ["--features", str(tmp_path)],
        ["--checkpoint", str(nonsense), "--root", str(catalog.root)],
        ["--checkpoint", str(nonsense), "--root", str(tmp_path / "absent")],
        [str(tmp_path)],
    ):
        assert main(["evaluate", *arguments, "--json", str(tmp_path / "out.json")]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out.json").exists()


def test_ties_are_ranked_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One match and one wrong answer of the same score: it is second, first, or either."""
    path, shares = tmp_path / "tie.npz", {}
    same = np.eye(1, 4, dtype=np.float32).repeat(2, axis=0)
    np.savez(
        path, query_feature=same[:1], query_pid=[1], query_camid=[1],
        gallery_feature=same, gallery_pid=[2, 1], gallery_camid=[2, 2],
    )  # fmt: skip
    for ties in ("pessimistic", "optimistic", "mean"):
        json = tmp_path / f"{ties}.json"
        assert main(["evaluate", "--features", str(path), "--ties", ties, "--json", str(json)]) == 0
        shares[ties] = read(json)["cmc"][0]
        assert "1 wrong answers score exactly as a match does" in capsys.readouterr().out
    assert shares == {"pessimistic": 0.0, "optimistic": 1.0, "mean": 0.5}
