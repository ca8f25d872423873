"""Labelled sets from their published layouts to a result: the released recipe, made very small."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from bagreid.catalog import BagSimulation, Catalog, open_catalog
from bagreid.cli.main import main
from bagreid.cli.train import load_config
from bagreid.contracts import BagBatch
from bagreid.models import ModelOutput
from bagreid.recipes import RunConfig, with_method
from bagreid.report.archive import Archive
from bagreid.report.work_dir import read_work_dir
from bagreid.training.setup import make_plan
from bagreid.training.supervision import Supervisor
from labelled_sets import KINDS, Kind, SmallSet

CONFIGS = Path(__file__).parents[2] / "configs" / "dgl"
TINY = (
    "--model.no-pretrained",
    *("--augment.height", "96", "--augment.width", "32"),
    *("--plan.groups", "2"),
    *("--train.epochs", "1", "--train.workers", "0", "--train.log-every", "1"),
    *("--train.precision", "fp32", "--train.device", "cpu", "--test.batch-size", "16"),
)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    return content


def steps(work_dir: Path) -> list[dict[str, Any]]:
    lines = map(orjson.loads, (work_dir / "log.jsonl").read_bytes().splitlines())
    return [line for line in lines if line["kind"] == "step"]


def test_the_released_recipe_trains_and_is_tested_by_the_standard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    made = SmallSet("market1501", (4,) * 4, queries=2, pictures=True)
    root = made.write(tmp_path / "data")
    config = CONFIGS / "mgn_market1501.py"
    # the recipe looks below data/market1501, and the level that people keep is found
    assert main(["train", str(config), *TINY, "--data.bag-seed", "3"]) == 0
    work_dir = tmp_path / "work_dirs" / "dgl" / "mgn_market1501"
    result = read(work_dir / "evaluation.json")
    assert result["convention"] == "standard"
    counts = {"queries": 2, "gallery": 10, "matches": 4, "distractors": 2, "junk": 2}
    assert {key: result["counts"][key] for key in counts} == counts
    (step,) = steps(work_dir)
    assert step["loss"]["unary"] > 0
    assert step["loss"]["pairwise"] < 0  # at least two images were told to be of two people
    assert step["loss"]["triplet"] >= 0
    assert 0 <= step["pseudo_label_accuracy"] <= 1

    labels = np.load(work_dir / "pseudo_labels.npz")
    catalog = open_catalog(root, simulation=BagSimulation(seed=3))
    assert np.array_equal(labels["truth"], catalog.truth()[labels["rows"]])
    method = read_work_dir(work_dir).main
    shown = Archive(root, simulation=method.simulation).catalog
    assert shown is not None
    assert shown.directory == catalog.directory
    shutil.rmtree(work_dir)  # the states of Adam take a gigabyte


def test_the_switch_gives_the_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    root = SmallSet("cuhk03", (4,) * 4, queries=2, pictures=True).write(tmp_path / "data")
    config = CONFIGS / "mgn_cuhk03.py"
    network = ("--model.backbone", "resnet10t")
    assert main(["train", str(config), *TINY, *network, "--supervision", "truth"]) == 0
    work_dir = tmp_path / "work_dirs" / "dgl" / "mgn_cuhk03"
    assert read(work_dir / "config.json")["supervision"]["source"] == "truth"
    (step,) = steps(work_dir)
    assert step["pseudo_label_accuracy"] is None  # nothing is guessed
    tested = read(work_dir / "evaluation.json")
    # the same checkpoint by the other verbs, which know the set's convention by its layout
    assert main(["evaluate", str(work_dir), "--json", str(tmp_path / "again.json")]) == 0
    again = read(tmp_path / "again.json")
    for key in ("convention", "counts", "cmc", "mean_ap", "mean_inp"):
        assert again[key] == tested[key]
    assert again["convention"] == "standard"
    features = tmp_path / "features"
    (checkpoint,) = (work_dir / "checkpoints").glob("*.pt")
    words = ["--checkpoint", str(checkpoint), "--root", str(root.parent)]
    assert main(["extract", str(features), *words]) == 0
    assert main(["evaluate", "--features", str(features), "--json", str(tmp_path / "f.json")]) == 0
    assert read(tmp_path / "f.json")["cmc"] == tested["cmc"]


def tiny_plan(config: RunConfig, catalog: Catalog) -> Any:
    return make_plan(catalog, config.plan, config.train.seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inference", ["argmax", "balanced", "dgl"])
def test_the_ceiling_sees_the_same_images_and_only_the_true_people(
    tmp_path: Path, kind: Kind, inference: Any
) -> None:
    catalog = open_catalog(SmallSet(kind, (8, 9, 7, 4, 5)).write(tmp_path))
    name = "msmt17" if kind.startswith("msmt17") else kind
    run = with_method(load_config(CONFIGS / f"mgn_{name}.py"), inference)
    ceiling = with_method(run, "truth")
    assert (run.plan, run.augment, run.loss) == (ceiling.plan, ceiling.augment, ceiling.loss)
    supervisor = Supervisor(catalog, ceiling.supervision)
    drawn = tiny_plan(ceiling, catalog).batch(0, 0)
    same = tiny_plan(run, catalog).batch(0, 0)
    assert np.array_equal(drawn.rows, same.rows)
    n, classes = len(drawn.rows), len(catalog.identities)
    names = ("rows", "groups", "bags")
    parts = {part: torch.from_numpy(getattr(drawn, part).copy()) for part in names}
    batch = BagBatch(images=torch.empty(n, 3, 0, 0), views=torch.empty(n, 0), **parts)
    output = ModelOutput(torch.randn(n, 6), torch.randn(n, classes), torch.rand(n, 5))
    targets = supervisor.answer(supervisor.ask(batch), output, None, share=0.5)
    truth = torch.from_numpy(catalog.truth()[drawn.rows])
    assert torch.equal(targets.label, truth)
    assert torch.equal(targets.identity, truth[:, None])
    assert torch.equal(targets.weight, torch.ones(n, 1))
    # the triplet loss then pulls by identity: kin are the images of the same person
    assert torch.equal(targets.kin, truth[:, None])


@pytest.mark.parametrize("kind", KINDS)
def test_bag_labels_hold_every_true_person(tmp_path: Path, kind: Kind) -> None:
    catalog = open_catalog(SmallSet(kind, (8, 9, 7, 4, 5)).write(tmp_path))
    name = "msmt17" if kind.startswith("msmt17") else kind
    config = load_config(CONFIGS / f"mgn_{name}.py")
    plan = tiny_plan(config, catalog)
    for step in range(plan.steps_per_epoch):
        batch = plan.batch(0, step)
        for row, bag in zip(batch.rows.tolist(), batch.bags.tolist(), strict=True):
            labels = catalog.bags.labels(bag).tolist()
            assert catalog.truth()[row] in labels
            assert len(labels) <= config.data.bag_people
