"""Targets of every inference on a small archive; the truth never takes part in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bagreid.catalog import Catalog, open_catalog
from bagreid.contracts import BagBatch, BagreidError
from bagreid.graph import balanced_assignment
from bagreid.models import ModelOutput
from bagreid.plan import PlanConfig
from bagreid.training.setup import make_plan
from bagreid.training.supervision import SupervisionConfig, Supervisor, Targets

CHOICES = [
    ("posterior", "all_bags"),
    ("posterior", "drawn_bag"),
    ("posterior", "narrowest_bag"),
    ("argmax", "all_bags"),
    ("argmax", "drawn_bag"),
    ("argmax", "narrowest_bag"),
    ("balanced", "drawn_bag"),
]


@pytest.fixture(scope="module")
def catalog(small_archive: Path) -> Catalog:
    return open_catalog(small_archive)


def draw(catalog: Catalog, step: int = 0, **plan: Any) -> BagBatch:
    """A batch without its pixels, which supervision does not look at."""
    config = PlanConfig(**({"groups": 4, "images_per_group": 4} | plan))
    drawn = make_plan(catalog, config, seed=0).batch(0, step)
    rows, groups, bags = (
        torch.from_numpy(part.copy()) for part in (drawn.rows, drawn.groups, drawn.bags)
    )
    return BagBatch(torch.empty(len(rows), 3, 0, 0), rows, groups, bags, torch.empty(0))


def say(classes: int, n: int, seed: int = 0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    return ModelOutput(
        torch.randn(n, 6, generator=generator),
        torch.randn(n, classes, generator=generator),
        torch.rand(n, 5, generator=generator),
    )


def answer(catalog: Catalog, config: SupervisionConfig, batch: BagBatch) -> Targets:
    supervisor = Supervisor(catalog, config)
    classes = len(catalog.identities)
    student, teacher = say(classes, len(batch.rows)), say(classes, len(batch.rows), seed=1)
    needed = teacher if config.needs_teacher else None
    return supervisor.answer(supervisor.ask(batch), student, needed, share=0.5)


def allowed(catalog: Catalog, batch: BagBatch, candidates: str) -> list[set[int]]:
    """Who each image may be, read off the bag table bag by bag."""
    bags = catalog.bags
    table = [
        (
            set(bags.folder[bags.folder_offset[b] : bags.folder_offset[b + 1]].tolist()),
            set(bags.label[bags.label_offset[b] : bags.label_offset[b + 1]].tolist()),
        )
        for b in range(len(bags.bag_id))
    ]
    found = []
    for row, drawn in zip(batch.rows.tolist(), batch.bags.tolist(), strict=True):
        folder = int(catalog.group[row])
        covering = [(folders, labels) for folders, labels in table if folder in folders]
        if candidates == "drawn_bag":
            found.append(table[drawn][1])
        elif candidates == "narrowest_bag":
            found.append(min(covering, key=lambda bag: len(bag[0]))[1])
        else:
            found.append(set.union(*(labels for _, labels in covering)))
    return found


@pytest.mark.parametrize(("inference", "candidates"), CHOICES)
def test_targets_come_from_the_bags(catalog: Catalog, inference: str, candidates: str) -> None:
    config = SupervisionConfig(inference=inference, candidates=candidates)  # type: ignore[arg-type]
    for step in (0, 1):
        batch = draw(catalog, step)
        n = len(batch.rows)
        targets = answer(catalog, config, batch)
        assert len(targets.identity) == len(targets.kin) == n
        assert targets.weight.shape == targets.identity.shape
        assert targets.label.shape == targets.confidence.shape == (n,)
        torch.testing.assert_close(targets.weight.sum(dim=1), torch.ones(n))
        assert (targets.weight[targets.identity < 0] == 0).all()
        heaviest = targets.identity.gather(1, targets.weight.argmax(dim=1, keepdim=True))
        assert torch.equal(targets.label, heaviest.squeeze(1))
        torch.testing.assert_close(targets.confidence, targets.weight.max(dim=1).values)
        mine = allowed(catalog, batch, candidates)
        for i in range(n):
            named = set(targets.identity[i].tolist()) - {-1}
            kin = set(targets.kin[i].tolist()) - {-1}
            assert int(targets.label[i]) in kin <= mine[i]
            # hard labels name one identity, the posterior weighs all who come into question
            assert named == (mine[i] if inference == "posterior" else {int(targets.label[i])})


def test_argmax_takes_the_best_candidate_of_the_student(catalog: Catalog) -> None:
    config = SupervisionConfig(inference="argmax", candidates="drawn_bag")
    batch = draw(catalog)
    targets = answer(catalog, config, batch)
    logits = say(len(catalog.identities), len(batch.rows)).logits
    for i, mine in enumerate(allowed(catalog, batch, "drawn_bag")):
        assert int(targets.label[i]) == max(sorted(mine), key=lambda k, i=i: float(logits[i, k]))


def test_balanced_shares_out_each_draw_on_its_own(catalog: Catalog) -> None:
    config = SupervisionConfig(inference="balanced", candidates="drawn_bag")
    batch = draw(catalog, images_per_group=10)
    targets = answer(catalog, config, batch)
    logits = say(len(catalog.identities), len(batch.rows)).logits
    mine = allowed(catalog, batch, "drawn_bag")
    for group in range(4):
        (places,) = np.nonzero(batch.groups.numpy() == group)
        people = torch.tensor([sorted(mine[place]) for place in places.tolist()])
        assert torch.equal(targets.label[places], balanced_assignment(logits[places], people))


def test_a_smaller_threshold_lets_more_candidates_be_kin(catalog: Catalog) -> None:
    batch = draw(catalog)
    every, likely = (
        answer(catalog, SupervisionConfig(kin_from=share), batch) for share in (0.0, 0.2)
    )
    assert torch.equal(every.kin, every.identity)
    assert torch.equal(likely.kin >= 0, likely.weight >= 0.2)


@pytest.fixture(scope="module")
def shuffled(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The same archive; its truth says the opposite."""
    root = tmp_path_factory.mktemp("shuffled") / "archive"
    shutil.copytree(small_archive, root)
    header, *lines = (root / "truth.csv").read_text().splitlines()
    names, people = zip(*(line.split(",") for line in lines), strict=True)
    rng = np.random.default_rng(0)
    mixed = [
        f"{name},{person}" for name, person in zip(names, rng.permutation(people), strict=True)
    ]
    (root / "truth.csv").write_text("\n".join([header, *mixed]) + "\n")
    return open_catalog(root)


@pytest.mark.parametrize(("inference", "candidates"), CHOICES)
def test_the_truth_changes_no_target(
    catalog: Catalog, shuffled: Catalog, inference: str, candidates: str
) -> None:
    assert (catalog.truth() != shuffled.truth()).any()
    config = SupervisionConfig(inference=inference, candidates=candidates)  # type: ignore[arg-type]
    batch, again = draw(catalog), draw(shuffled)
    assert torch.equal(batch.rows, again.rows)
    one, two = answer(catalog, config, batch), answer(shuffled, config, again)
    for part in ("identity", "weight", "label", "confidence", "kin"):
        assert torch.equal(getattr(one, part), getattr(two, part)), part


def test_the_ceiling_is_taught_the_truth(catalog: Catalog) -> None:
    batch = draw(catalog, kind="identities")
    targets = answer(catalog, SupervisionConfig(source="truth"), batch)
    truth = torch.from_numpy(catalog.truth()[batch.rows.numpy()])
    assert torch.equal(targets.label, truth)
    assert torch.equal(targets.identity, truth[:, None])
    assert torch.equal(targets.kin, truth[:, None])
    assert torch.equal(targets.confidence, torch.ones(len(truth)))


def changed(small_archive: Path, root: Path, *, bags: Any = None, truth: bool = True) -> Catalog:
    shutil.copytree(small_archive, root)
    if bags is not None:
        (root / "bag_level_label.json").write_text(json.dumps(bags))
    if not truth:
        (root / "truth.csv").unlink()
    return open_catalog(root)


def test_an_image_without_truth_is_not_taught_from_it(small_archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    shutil.copytree(small_archive, root)
    lines = (root / "truth.csv").read_text().splitlines()
    (root / "truth.csv").write_text("\n".join(lines[:-6]) + "\n")
    catalog = open_catalog(root)
    targets = answer(catalog, SupervisionConfig(source="truth"), draw(catalog))
    unknown = targets.label < 0
    assert torch.equal(targets.weight[:, 0] == 0, unknown)
    assert torch.equal(targets.confidence == 0, unknown)


def test_without_truth_there_is_no_ceiling(small_archive: Path, tmp_path: Path) -> None:
    catalog = changed(small_archive, tmp_path / "archive", truth=False)
    Supervisor(catalog, SupervisionConfig())
    with pytest.raises(BagreidError, match=r"no image-level truth.*truth\.csv"):
        Supervisor(catalog, SupervisionConfig(source="truth"))


def test_a_folder_in_no_bag_is_refused_by_name(small_archive: Path, tmp_path: Path) -> None:
    bags = json.loads((small_archive / "bag_level_label.json").read_text())
    left = [bag for bag in bags if "0000000003/*" not in bag["BagImages"]]
    catalog = changed(small_archive, tmp_path / "archive", bags=left)
    with pytest.raises(BagreidError, match=r"1 folders with images lie in no bag.*0000000003"):
        Supervisor(catalog, SupervisionConfig())


def test_trust_rises_and_the_prior_fades(catalog: Catalog) -> None:
    config = SupervisionConfig(trust_from=0.1, trust_until=0.3, prior_weight=0.2, prior_until=0.7)
    supervisor = Supervisor(catalog, config)
    shares = [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
    assert [supervisor.trust(x) for x in shares] == pytest.approx([0, 0, 0.5, 1, 1, 1, 1])
    exponents = [supervisor.prior_exponent(x) for x in shares]
    assert exponents == pytest.approx([1, 1, 1, 1, 0.6, 0.2, 0.2])


def test_trust_and_prior_may_change_at_once(catalog: Catalog) -> None:
    config = SupervisionConfig(trust_from=0.3, trust_until=0.3, prior_weight=0.2, prior_until=0.3)
    supervisor = Supervisor(catalog, config)
    assert [supervisor.trust(x) for x in (0.0, 0.29, 0.3)] == [0, 0, 1]
    assert [supervisor.prior_exponent(x) for x in (0.0, 0.29, 0.3)] == [1, 1, 0.2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"inference": "balanced"},
        {"teacher_decay": 1.0},
        {"trust_from": 0.5, "trust_until": 0.2},
        {"prior_weight": 2.0},
        {"trust_until": 0.5, "prior_until": 0.4},
    ],
)
def test_options_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must hold|decays|drawn bag"):
        SupervisionConfig(**wrong)


@pytest.mark.parametrize("candidates", ["drawn_bag", "narrowest_bag"])
def test_fewer_candidates_keep_the_evidence_of_their_own_identity(
    catalog: Catalog, candidates: Any
) -> None:
    batch = draw(catalog)
    few = Supervisor(catalog, SupervisionConfig(candidates=candidates)).ask(batch)
    every = Supervisor(catalog, SupervisionConfig()).ask(batch)
    for image, row in enumerate(few.candidates.tolist()):
        known = dict(zip(every.candidates[image].tolist(), every.evidence[image], strict=True))
        for place, identity in enumerate(row):
            if identity >= 0:
                torch.testing.assert_close(few.evidence[image, place], known[identity])
            else:
                assert few.evidence[image, place].sum() == 0
