"""From the first run that meets a broken image to all that come after it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from bagreid.catalog import Catalog, open_catalog
from bagreid.catalog.quarantine import add, load, quarantine_path
from bagreid.cli.main import main
from bagreid.contracts import BagreidError
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, RunConfig, demo, training_setup
from bagreid.training.checkpoint import list_checkpoints, read_checkpoint
from bagreid.training.loop import Trainer
from bagreid.world import World

BROKEN = (3, 20)
SPREAD = list(range(1, 48, 4))
CONFIG = """
import dataclasses
from pathlib import Path
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, demo

base = demo()
config = dataclasses.replace(
    base,
    data=DataConfig(root=Path({root!r}), cache=Path({cache!r})),
    plan=PlanConfig(groups=4, images_per_group=4),
    augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
    train=dataclasses.replace(base.train, epochs=1, precision="fp32", workers=0, log_every=1),
)
"""


def cut(catalog: Catalog, rows: list[int]) -> None:
    """Overwrites the second half of some images with zeros, in place."""
    for row in rows:
        ref = catalog.ref(row)
        with ref.path.open("r+b") as tar:
            tar.seek(ref.offset + ref.size // 2)
            tar.write(bytes(ref.size - ref.size // 2))


@pytest.fixture
def catalog(small_archive: Path, tmp_path: Path) -> Catalog:
    """An archive with two broken train images and a broken one in the gallery."""
    root, cache = tmp_path / "archive", tmp_path / "cache"
    shutil.copytree(small_archive, root)
    catalog = open_catalog(root, cache=cache)
    cut(catalog, [*BROKEN, catalog.split("gallery")[2]])
    return open_catalog(root, cache=cache)


def small_run(catalog: Catalog, **data: object) -> RunConfig:
    base = demo()
    paths: dict[str, Any] = {"root": catalog.root, "cache": catalog.directory.parent.parent}
    return dataclasses.replace(
        base,
        data=DataConfig(**(paths | data)),
        plan=PlanConfig(groups=4, images_per_group=4),
        augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
        train=dataclasses.replace(
            base.train, epochs=2, precision="fp32", workers=0, log_every=2,
            checkpoint_every=1, keep_checkpoints=99,
        ),
    )  # fmt: skip


def train(config: RunConfig, catalog: Catalog, work_dir: Path, start: Path | None = None) -> Path:
    torch.set_num_threads(1)
    trainer = Trainer(catalog, training_setup(config), World(), work_dir)
    if start is not None:
        trainer.restore(read_checkpoint(start))
    return trainer.run().checkpoint


def equal_states(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal_states(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return all(equal_states(a, b) for a, b in zip(one, two, strict=True))
    return bool(one == two)


def test_a_run_is_the_same_whenever_the_damage_was_found(catalog: Catalog, tmp_path: Path) -> None:
    """Found in it, known before it, or found before it stopped and known when it was resumed."""
    config = small_run(catalog)
    finding = read_checkpoint(train(config, catalog, tmp_path / "finding"))
    assert finding.state["replaced"].keys() == set(BROKEN)
    listed = load(catalog)
    assert listed.rows(catalog).tolist() == list(BROKEN)
    assert {entry.found_by for entry in listed.entries} == {"train"}
    before = listed.path.read_bytes()
    knowing = read_checkpoint(train(config, catalog, tmp_path / "knowing"))
    assert equal_states(knowing.state, finding.state)
    assert load(catalog).path.read_bytes() == before
    for path in list_checkpoints(tmp_path / "finding" / "checkpoints")[1:-1:4]:
        resumed = read_checkpoint(train(config, catalog, tmp_path / path.stem, start=path))
        assert equal_states(resumed.state, finding.state), path.name
    off = small_run(catalog, quarantine="off")
    assert equal_states(read_checkpoint(train(off, catalog, tmp_path / "off")).state, finding.state)


def test_the_log_tells_what_was_found_and_when(catalog: Catalog, tmp_path: Path) -> None:
    train(small_run(catalog), catalog, tmp_path)
    lines = [orjson.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    told = [line for line in lines if line["kind"] == "broken"]
    images = {name: why for line in told for name, why in line["images"].items()}
    assert images.keys() == {catalog.name(row) for row in BROKEN}
    assert all(why.startswith("the image does not decode") for why in images.values())
    assert sum(line["found"] for line in told) == 2
    assert {line["known_before"] for line in told} == {0}


def test_a_rotten_archive_stops_the_run_and_the_state_is_saved(
    catalog: Catalog, tmp_path: Path
) -> None:
    cut(catalog, SPREAD)
    catalog = open_catalog(catalog.root, cache=catalog.directory.parent.parent)
    config = small_run(catalog)
    with pytest.raises(BagreidError, match=r"0 were known before, 1\d were found") as caught:
        train(config, catalog, tmp_path / "run")
    assert "is saved" in str(caught.value)
    (*_, newest) = list_checkpoints(tmp_path / "run" / "checkpoints")
    known = load(catalog).rows(catalog).tolist()
    assert len(known) > 10
    with pytest.raises(BagreidError, match=rf"{len(known)} were known before, 0 were found") as no:
        train(config, catalog, tmp_path / "again")
    assert "Training has not begun" in str(no.value)
    assert "--data.most-broken" in str(no.value)
    assert not (tmp_path / "again").exists()
    tolerant = small_run(catalog, most_broken=0.5)
    end = read_checkpoint(train(tolerant, catalog, tmp_path / "run", start=newest))
    assert end.state["replaced"].keys() == {*BROKEN, *SPREAD}


def test_the_share_is_a_share() -> None:
    with pytest.raises(ValueError, match="most_broken is a share"):
        DataConfig(most_broken=5)


@pytest.fixture
def config_file(catalog: Catalog, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.py"
    cache = str(catalog.directory.parent.parent)
    path.write_text(CONFIG.format(root=str(catalog.root), cache=cache))
    return path


def test_what_one_verb_finds_the_next_ones_do_not_read(
    catalog: Catalog, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    path, out = quarantine_path(catalog), tmp_path / "run"
    broken = catalog.split("gallery")[2]
    assert main(["train", str(config_file), "--work-dir", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"3 images found broken: added to {path}." in said
    assert load(catalog).rows(catalog).tolist() == [*BROKEN, broken]
    first = orjson.loads((out / "evaluation.json").read_bytes())
    assert first["counts"]["broken"] == 1

    # From here on the verbs could decode it, and must not read it.
    listed = path.read_bytes()
    common = ["--root", str(catalog.root), "--cache", str(catalog.directory.parent.parent)]
    common += ["--workers", "0", "--device", "cpu"]
    (checkpoint,) = list_checkpoints(out / "checkpoints")
    again, features = tmp_path / "again.json", tmp_path / "features"
    weights = ["--checkpoint", str(checkpoint)]
    assert main(["evaluate", *weights, *common, "--json", str(again)]) == 0
    told = capsys.readouterr()
    assert f"3 images known to be broken are not read (list: {path})." in told.err
    assert "1 images do not decode; they are scored last" in told.out
    assert orjson.loads(again.read_bytes())["queries"] == first["queries"]
    assert main(["extract", str(features), *weights, *common]) == 0
    assert "known to be broken" in capsys.readouterr().err
    assert orjson.loads((features / "gallery" / "meta.json").read_bytes())["broken"] == [broken]
    assert main(["evaluate", "--features", str(features), *common[:4], "--json", str(again)]) == 0
    assert orjson.loads(again.read_bytes())["queries"] == first["queries"]
    assert main(["evaluate", *weights, *common, "--quarantine", "off"]) == 0
    told = capsys.readouterr()
    assert "known to be broken" not in told.err
    assert "1 images do not decode" in told.out
    assert path.read_bytes() == listed


def test_a_broken_match_is_counted_as_missed(
    catalog: Catalog, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a query, too: neither leaves the count, and a list that names them spares the reading."""
    query, gallery = catalog.split("query"), catalog.split("gallery")
    match = next(row for row in gallery if catalog.group[row] == catalog.group[query[1]])
    add(catalog, {query[0]: "blurred", match: "blurred"}, found_by="me", path=tmp_path / "mine")
    out = tmp_path / "run"
    options = ["--work-dir", str(out), "--data.quarantine", str(tmp_path / "mine")]
    assert main(["train", str(config_file), *options]) == 0
    result = orjson.loads((out / "evaluation.json").read_bytes())
    assert result["counts"]["queries"] == len(query)
    assert result["counts"]["broken"] == 3
    blind, missed = result["queries"][:2]
    assert blind["first_match_rank"] == missed["first_match_rank"] == len(gallery) - 1
    assert blind["top"] == []
    assert missed["match"]["score"] is None
    assert len(missed["top"]) == 10
    assert main(["report", str(out)]) == 0
    capsys.readouterr()


def test_many_broken_test_images_are_warned_of(
    catalog: Catalog, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = catalog.split("gallery")
    add(catalog, dict.fromkeys(gallery[-11:], "blurred"), found_by="me")
    assert main(["train", str(config_file), "--work-dir", str(tmp_path / "run")]) == 0
    assert "Caution: 11 of 16 test images (68.8%) are broken" in capsys.readouterr().out


def test_two_processes_gather_what_each_finds(
    catalog: Catalog, config_file: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "bagreid", "train", str(config_file)]
    command += ["--train.device", "cpu", "--work-dir", str(tmp_path / "run")]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common |= {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            command, env=os.environ | common | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=500)[0] for process in processes]
    finally:
        for process in processes:  # one that lost the other would wait for hours
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    listed = load(catalog)
    assert listed.rows(catalog).tolist() == [*BROKEN, catalog.split("gallery")[2]]
    assert "3 images found broken: added to" in said[0]
    assert "found broken" not in said[1], "of many processes one speaks"
