"""`bagreid evaluate` on many processes says what it says on one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from ranks import end, run, start, wait_for_batches


def record(path: Path) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(path.read_bytes())
    return found


@pytest.mark.parametrize(("feature", "sizes"), [("backbone", (1, 2, 3, 4)), ("logits", (1, 3))])
def test_one_to_four_processes_write_the_same_json(
    options: list[str], tmp_path: Path, feature: str, sizes: tuple[int, ...]
) -> None:
    command = ["evaluate", *options, "--feature", feature, "--json"]
    written = []
    for size in sizes:
        path = tmp_path / f"{size}.json"
        texts = run([*command, path], size, tmp_path / "said")
        written.append(path.read_bytes())
        assert "5 queries against 60 gallery images" in texts[0]
        assert not any(texts[1:]), "of many processes one speaks"
    assert len(set(written)) == 1
    assert record(tmp_path / "1.json")["counts"]["broken"] == 1  # type: ignore[index]


def test_kept_features_give_the_same_on_any_number(
    options: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    records = []
    run(
        ["evaluate", *options, "--keep", tmp_path / "k", "--json", tmp_path / "n"],
        3,
        tmp_path / "s",
    )
    for size, features in ((1, undisturbed), (3, undisturbed), (2, tmp_path / "k")):
        path = tmp_path / f"{size}.json"
        run(
            ["evaluate", "--features", features, "--method", "m", "--json", path],
            size,
            tmp_path / "s",
        )
        records.append(record(path))
    records.append(record(tmp_path / "n"))
    for each in records:
        del each["method"]
    assert records[1:] == records[:1] * 3


def test_logits_of_extracted_embeddings(
    options: list[str], checkpoint: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Nobody extracts twice; the result is that of extracting logits, up to float32."""
    wanted = tmp_path / "wanted.json"
    run(["evaluate", *options, "--feature", "logits", "--json", wanted], 1, tmp_path / "said")
    command = ["evaluate", "--features", undisturbed, "--checkpoint", checkpoint]
    command += ["--feature", "logits", "--device", "cpu", "--json"]
    for size in (1, 2):
        run([*command, tmp_path / f"{size}.json"], size, tmp_path / "said")
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    found, explicit = record(tmp_path / "1.json"), record(wanted)
    for one, two in zip(found["queries"], explicit["queries"], strict=True):  # type: ignore[call-overload]
        assert one["first_match_rank"] == two["first_match_rank"]
        scores = [[image["score"] for image in query["top"]] for query in (one, two)]
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-6)
    other = torch.load(checkpoint, weights_only=True)
    torch.save(other | {"step": 4}, tmp_path / "other.pt")
    command[4] = tmp_path / "other.pt"
    assert end(start([*command, tmp_path / "no.json"], 1, tmp_path / "said")) == [2]
    assert "these features are not of" in (tmp_path / "said" / "0").read_text()


def test_a_stopped_evaluation_goes_on_from_what_it_kept(options: list[str], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = ["evaluate", *options, "--keep", kept, "--json", tmp_path / "r.json"]
    (process,) = start(command, 1, tmp_path / "said")
    assert wait_for_batches(kept, 4, process.is_alive)
    process.terminate()
    assert end([process]) == [3]
    assert "the same command goes on" in (tmp_path / "said" / "0").read_text()
    (said,) = run(command, 1, tmp_path / "said")
    assert "going on, " in said
    assert (tmp_path / "r.json").exists()


def test_several_machines_need_a_folder_in_common(options: list[str], tmp_path: Path) -> None:
    def alone_on_its_machine(rank: int) -> None:  # noqa: ARG001
        os.environ["LOCAL_WORLD_SIZE"] = "1"

    processes = start(["evaluate", *options], 2, tmp_path / "said", alone_on_its_machine)
    assert end(processes) == [2, 2]
    assert "Name such a folder with --keep" in (tmp_path / "said" / "0").read_text()
