"""What bad input gets: one line with file, position and remedy, exit code 2, no half files."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bagreid.catalog import open_catalog
from bagreid.cli.main import main
from bagreid.models import ModelConfig, build_model
from bagreid.training.checkpoint import read_checkpoint

TINY = """
import dataclasses
from pathlib import Path
from bagreid.plan import PlanConfig
from bagreid.recipes import DataConfig, demo

base = demo()
config = dataclasses.replace(
    base,
    data=DataConfig(root=Path({root!r})),
    plan=PlanConfig(groups=4, images_per_group=4),
    augment=dataclasses.replace(base.augment, height=32, width=16, pad=2),
    train=dataclasses.replace(base.train, epochs=1, precision="fp32", workers=0, log_every=1),
)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for each test's catalogs, and one thread."""
    torch.set_num_threads(1)
    folder = tmp_path.parent / f"{tmp_path.name}-cache"
    monkeypatch.setenv("BAGREID_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def root(small_archive: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(small_archive, tmp_path / "archive"))


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.py"
    path.write_text(TINY.format(root=str(root)))
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A whole checkpoint, as far as extraction is concerned."""
    path = tmp_path / "weights.pt"
    run = {"model": {"backbone": "resnet10t"}, "augment": {"height": 32, "width": 16}}
    network = build_model(ModelConfig(backbone="resnet10t"), 8).state_dict()
    torch.save({"format": "bagreid.checkpoint/1", "config": run, "model": network}, path)
    return path


class Refused:
    """Runs the command line and holds it to the house's rule for bad input."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path, cache: Path) -> None:
        self.capsys, self.folder, self.cache = capsys, folder, cache

    def __call__(self, *argv: object) -> str:
        before = {path for path in self.folder.rglob("*") if path.is_file()}
        assert main([str(word) for word in argv]) == 2
        said = self.capsys.readouterr().err
        assert len(said.splitlines()) == 1, said
        assert "Traceback" not in said
        assert {path for path in self.folder.rglob("*") if path.is_file()} == before
        assert not list(self.cache.rglob("*.partial"))
        return said


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, cache: Path) -> Refused:
    return Refused(capsys, tmp_path, cache)


def cut_tar(root: Path) -> None:
    path = root / "train" / "sysu_train_set_all_part2.tar"
    path.write_bytes(path.read_bytes()[:30_000])


def rewrite(root: Path, change: Callable[[list[dict]], object]) -> None:
    path = root / "bag_level_label.json"
    bags = json.loads(path.read_text())
    path.write_text(json.dumps(change(bags)))


def absent_folder(bags: list[dict]) -> list[dict]:
    bags[5]["BagImages"].append("0000004711/*")
    return bags


def word_for_label(bags: list[dict]) -> list[dict]:
    bags[3]["BagLabel"] = ["somebody"]
    return bags


def rename_in_tar(root: Path, old: str, new: str) -> None:
    path = root / "test" / "sysu_test_set_all.tar"
    before = path.with_suffix(".before")
    path.rename(before)
    with tarfile.open(before) as source, tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as to:
        for member in source:
            content = source.extractfile(member)
            member.name = member.name.replace(old, new)
            to.addfile(member, content)
    before.unlink()
    for name in ("query.txt", "gallery.txt"):
        listed = root / name
        listed.write_text(listed.read_text().replace(old, new))


SPOILT: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no such folder": (shutil.rmtree, ("archive: there is no such folder", "Name the folder")),
    "a missing tar": (
        lambda root: (root / "train" / "sysu_train_set_all_part1.tar").unlink(),
        ("sysu_train_set_all_part1.tar: the tar is missing", "part 2", "Fetch it"),
    ),
    "a cut tar": (
        cut_tar,
        ("sysu_train_set_all_part2.tar, byte 29184", "are missing", "14 members read whole"),
    ),
    "a bag file that is not JSON": (
        lambda root: (root / "bag_level_label.json").write_text('[{"BagID": '),
        ("bag_level_label.json, line 1",),
    ),
    "a bag file that is no list": (
        lambda root: (root / "bag_level_label.json").write_text('{"bags": 3}'),
        ("bag_level_label.json", "list"),
    ),
    "a bag of an absent folder": (
        lambda root: rewrite(root, absent_folder),
        ("bag_level_label.json, object 5", "0000004711"),
    ),
    "a bag of a nameless person": (
        lambda root: rewrite(root, word_for_label),
        ("bag_level_label.json, object 3", "BagLabel", "somebody"),
    ),
    "a name that does not parse": (
        lambda root: rename_in_tar(root, "000000009_c2_1.jpg", "000000009_x2_1.jpg"),
        ("000000009_x2_1.jpg",),
    ),
}
"""What is done to an archive, and what must be said of it, whatever the verb."""


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_archive_is_told_by_every_verb(
    what: str, root: Path, config: Path, weights: Path, tmp_path: Path, refused: Refused
) -> None:
    spoil, words = SPOILT[what]
    spoil(root)
    out = tmp_path / "out"
    for argv in (
        ["catalog", root, "--json", tmp_path / "catalog.json"],
        ["train", config, "--work-dir", out],
        ["demo", "--root", root, "--work-dir", out],
        ["extract", out, "--checkpoint", weights, "--root", root],
        ["evaluate", "--checkpoint", weights, "--root", root, "--json", tmp_path / "e.json"],
    ):
        said = refused(*argv)
        assert said.startswith(f"bagreid {argv[0]}: {root}"), said
        for word in words:
            assert word in said, said
        assert not out.exists()


def without_queries(root: Path) -> None:
    rename_in_tar(root, "/query/", "/gallery/")
    (root / "query.txt").unlink()
    (root / "gallery.txt").unlink()


def without_matches(root: Path) -> None:
    rename_in_tar(root, "_c1_", "_c2_")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(without_queries, "no query images"), (without_matches, "has a match")],
)
def test_an_archive_that_cannot_be_tested_on_is_told_before_anything_is_computed(
    spoil: Callable[[Path], None], word: str, root: Path, weights: Path, config: Path,
    tmp_path: Path, refused: Refused,
) -> None:  # fmt: skip
    spoil(root)
    out = tmp_path / "out"
    verbs: list[list[object]] = [
        ["demo", "--root", root, "--work-dir", out],
        ["extract", out, "--checkpoint", weights, "--root", root],
        ["evaluate", "--checkpoint", weights, "--root", root, "--json", tmp_path / "e.json"],
    ]
    if spoil is without_matches:
        verbs.append(["train", config, "--work-dir", out])
    for argv in verbs:
        assert word in refused(*argv)
        assert not out.exists()


def test_a_run_without_a_test_set_says_so_and_trains(
    root: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_queries(root)
    assert main(["train", str(config), "--work-dir", str(tmp_path / "out")]) == 0
    assert "no query images: nothing is evaluated" in capsys.readouterr().out
    assert list((tmp_path / "out" / "checkpoints").glob("*.pt"))
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_a_list_of_absent_images_is_counted_and_the_first_ten_shown(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"sysu_train_set_all/0000000001/0000000001_9{i:05}.jpg" for i in range(14)]
    with (root / "train.txt").open("a") as file:
        file.write("".join(f"{name}\n" for name in names))
    assert main(["catalog", str(root), "--json", str(tmp_path / "catalog.json")]) == 0
    said = capsys.readouterr().out
    assert "train.txt names without an image (first 10 of 14)" in said
    assert all((name in said) == (number < 10) for number, name in enumerate(names))
    lists = json.loads((tmp_path / "catalog.json").read_text())["findings"]["lists"]
    assert next(entry for entry in lists if entry["split"] == "train")["absent"] == 14


class _WantsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never be printed",)


@pytest.mark.parametrize("kind", ["absent", "no checkpoint", "pickled code", "cut", "tensors"])
def test_what_is_no_checkpoint_is_refused(
    kind: str, root: Path, config: Path, weights: Path, tmp_path: Path, refused: Refused
) -> None:
    bad = tmp_path / "bad.pt"
    if kind == "no checkpoint":
        bad.write_bytes(b"this is text")
    elif kind == "pickled code":
        torch.save({"model": _WantsCode()}, bad)
    elif kind == "cut":
        bad.write_bytes(weights.read_bytes()[:-5_000])
    elif kind == "tensors":
        torch.save({"strange": torch.zeros(3, 3)}, bad)
    out = tmp_path / "out"
    for argv in (
        ["train", config, "--work-dir", out, "--resume-from", bad],
        ["train", config, "--work-dir", out, "--pretrained", bad],
        ["evaluate", "--checkpoint", bad, "--root", root, "--json", tmp_path / "e.json"],
        ["extract", out, "--checkpoint", bad, "--root", root],
    ):
        said = refused(*argv)
        assert str(bad) in said
        assert "this must never be printed" not in said
        assert ("pickled code" in said) == (kind == "pickled code")
        assert not out.exists()


def test_a_bare_pickle_is_refused(root: Path, tmp_path: Path, refused: Refused) -> None:
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(pickle.dumps(_WantsCode()))
    said = refused("evaluate", "--checkpoint", bad, "--root", root)
    assert "pickled code" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "from bagreid.training.config import TrainConfig\n\ntrain = TrainConfig(epoch=3)\n",
            ("line 3", "TrainConfig has no option 'epoch'", "Did you mean 'epochs'?"),
        ),
        (
            "import dataclasses\nfrom bagreid.recipes import demo\n"
            "config = dataclasses.replace(demo(), optimiser=None)\n",
            ("line 3", "RunConfig has no option 'optimiser'", "'optimizer'"),
        ),
        (
            "from bagreid.training.config import LossConfig\nLossConfig(zzz=1)\n",
            ("line 2", "LossConfig has no option 'zzz'", "Its options are", "sigma"),
        ),
        ("config = demo(\n", ("line 1", "SyntaxError")),
        ("from bagreid.recipes import demo\nconfig = dem()\n", ("line 2", "NameError")),
        (
            "from bagreid.training.config import TrainConfig\nTrainConfig(epochs=0)\n",
            ("line 2", "must be at least 1"),
        ),
        ("import sys\nsys.exit('gone')\n", ("line 2", "gone")),
        ("raise ValueError('two\\nlines')\n", ("line 1", "two lines")),
        ("config = 3\n", ("binds no `config`", "RunConfig")),
    ],
)
def test_a_configuration_that_does_not_hold_is_told_with_its_line(
    text: str, words: tuple[str, ...], tmp_path: Path, refused: Refused
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    said = refused("train", path)
    assert str(path) in said
    for word in words:
        assert word in said, said


def test_an_absent_configuration_is_told(tmp_path: Path, refused: Refused) -> None:
    assert "absent.py: there is no such configuration" in refused("train", tmp_path / "absent.py")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--train.epochs", "0"], "epochs, log_every and checkpoint_every must be at least 1"),
        (["--train.epochs", "many"], "--train.epochs: invalid literal for int()"),
        (["--plan.groups", "0"], "at least one group"),
        (["--supervision.inference", "balanced"], "takes the drawn bag"),
        (["--model.backbone", "resnet5O"], "Near it: resnet50"),
        (["--model.backbone", "vgg11", "--model.last-stride", "1"], "no ResNet"),
        (["--plan.kind", "identities"], "which training from bags never sees"),
        (["--resume-from", "a.pt", "--pretrained", "b.pt"], "give one of them"),
    ],
)
def test_options_that_do_not_hold_are_told_in_one_line(
    options: list[str], words: str, config: Path, tmp_path: Path, refused: Refused
) -> None:
    said = refused("train", config, *options, "--work-dir", tmp_path / "out")
    assert words in said
    assert "TrainArgs" not in said
    assert "helptext" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("verb", "wrong", "near"),
    [
        ("train", "--train.epoch", "--train.epochs"),
        ("train", "--resume-form", "--resume-from"),
        ("synth", "--peeple", "--people"),
        ("catalog", "--rebild", "--rebuild"),
        ("demo", "--wrok-dir", "--work-dir"),
        ("report", "--rot", "--root"),
        ("extract", "--chekpoint", "--checkpoint"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest(
    verb: str, wrong: str, near: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb, str(config), wrong, "3"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert wrong in said
    assert re.search(rf"{near}\b", said)


def test_an_unknown_verb_is_refused_with_the_nearest(refused: Refused) -> None:
    assert "there is no verb 'trian'. Did you mean 'train'?" in refused("trian", "x.py")
    assert "The verbs are demo, synth" in refused("qqq")


def test_options_before_the_configuration_still_override_it(
    config: Path, tmp_path: Path, refused: Refused
) -> None:
    """They were once taken for options of no configuration at all."""
    elsewhere = tmp_path / "elsewhere"
    said = refused("train", "--data.root", elsewhere, config)
    assert f"{elsewhere}: there is no such folder" in said
    said = refused("train", "--train.seed", "1", config.rename(tmp_path / "tiny"))
    assert "Name the configuration first" in said


def test_a_folder_without_a_run_cannot_be_reported(tmp_path: Path, refused: Refused) -> None:
    assert str(tmp_path) in refused("report", tmp_path)
    assert str(tmp_path / "absent") in refused("report", tmp_path / "absent")


def test_an_archive_is_never_written_over(root: Path, refused: Refused) -> None:
    assert str(root) in refused("synth", root, "--people", "8")


def test_corrupt_images_are_replaced_counted_and_listed(
    root: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = open_catalog(root)
    rows = [3, 20]
    refs = [catalog.ref(row) for row in [*rows, catalog.split("gallery")[2]]]
    for ref in refs:
        with (root / ref.path.relative_to(catalog.root)).open("r+b") as tar:
            tar.seek(ref.offset + 2)
            tar.write(b"\0" * (ref.size - 2))
    out = tmp_path / "out"
    assert main(["train", str(config), "--work-dir", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 broken test images were scored last" in said
    assert f"3 images found broken: added to {catalog.directory.parent}" in said
    for ref in refs:
        assert ref.name in said
    (last,) = (out / "checkpoints").glob("*.pt")
    replaced = read_checkpoint(last).state["replaced"]
    assert replaced.keys() == set(rows)
    times = sum(replaced.values())
    assert f"2 broken train images were replaced by others of their bags, {times} times" in said
    assert json.loads((out / "evaluation.json").read_text())["counts"]["broken"] == 1
