"""Exported weights: the same features as the checkpoint's, and a card that invents nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.evaluation.extraction import view_of_tests
from bagreid.models import ModelConfig, build_model, embedder, load_for_inference
from bagreid.models.weights import read_file
from bagreid.recipes import as_plain, demo
from bagreid.training.card import CardFacts, CardTest
from bagreid.training.checkpoint import read_checkpoint
from bagreid.training.export import export_weights
from bagreid.training.saving import CheckpointWriter
from bagreid.training.teacher import Teacher

CPU = torch.device("cpu")
IDENTITIES = [3, 5, 8]
SIZE = {"height": 64, "width": 32, "test_size": None}

TEST = CardTest(
    queries=1000, gallery=479_730, convention="sysu30k", rank1=0.269, interval=(0.242, 0.297),
    rank5=0.4, rank10=0.5, mean_ap=0.31,
)  # fmt: skip
FACTS = CardFacts(
    name="dgl on SYSU-30k", archive="SYSU-30k-released", images=29_000_000, bags=84_930, step=900,
    total_steps=1200, begun_from="resnet50.pth", pseudo_label_accuracy=0.81,
    license="cc-by-nc-4.0", code={"bagreid": "0.1.0", "commit": "abc"}, test=TEST,
)  # fmt: skip


def resolved(model: ModelConfig) -> dict[str, Any]:
    plain: dict[str, Any] = as_plain(demo())
    plain["model"] = as_plain(model)
    plain["augment"] |= SIZE
    plain["data"] |= {"root": "/home/somebody/secret", "cache": "/home/somebody/cache"}
    return plain


def run_of(folder: Path, model: ModelConfig) -> tuple[Path, Path]:
    """A run's checkpoint and its exported weights; student and teacher differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        student = build_model(model, len(IDENTITIES)).to(memory_format=torch.channels_last)
        teacher = Teacher(student, 0.9)
        for tensor in teacher.network.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(1.01)
    config = resolved(model)
    describe = {"config": config, "identities": IDENTITIES}
    state = {"model": student.state_dict(), "teacher": teacher.network.state_dict()}
    with CheckpointWriter(folder / "checkpoints", keep=1, describe=describe) as writer:
        checkpoint = writer.save(9, state)
    weights = export_weights(
        teacher.network, folder / "model", config=config, identities=IDENTITIES, card=FACTS
    )
    return checkpoint, weights


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    model = ModelConfig(backbone="resnet10t", neck="bn", last_stride=1)
    return run_of(tmp_path_factory.mktemp("run"), model)


def pictures() -> Tensor:
    return torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("feature", [None, "logits"])
def test_features_are_the_checkpoints_bit_for_bit(
    exported: tuple[Path, Path], feature: Any
) -> None:
    found = []
    for path in exported:
        network, meta = load_for_inference(path, CPU, feature=feature)
        assert meta.report.complete
        assert not meta.report.unused
        with torch.no_grad():
            found.append((embedder(network)(pictures()), view_of_tests(meta), meta.config))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][2].last_stride == 1


def test_the_metadata_say_all_but_where_files_lie(exported: tuple[Path, Path]) -> None:
    content = read_file(exported[1])
    assert content["format"] == "bagreid.weights/1"
    assert (content["identities"], content["step"]) == (IDENTITIES, 900)
    assert content["config"]["data"].keys() & {"root", "cache", "quarantine"} == set()
    assert content["config"]["augment"]["height"] == 64
    teacher = read_checkpoint(exported[0]).state["teacher"]
    assert content["state_dict"].keys() == teacher.keys()
    assert b"somebody" not in exported[1].read_bytes()
    with safe_open(exported[1], "pt") as file:
        assert file.metadata()["format"] == "pt"  # what other libraries ask for
    assert sorted(path.name for path in exported[1].parent.iterdir()) == [
        "README.md", "weights.safetensors",
    ]  # fmt: skip


def test_to_resume_from_exported_weights_is_refused_in_words(exported: tuple[Path, Path]) -> None:
    with pytest.raises(BagreidError, match=r"this is no checkpoint of bagreid train.*--pretrained"):
        read_checkpoint(exported[1])


def card_of(folder: Path, card: CardFacts, config: dict[str, Any]) -> str:
    network = torch.nn.Linear(2, 2)
    export_weights(network, folder, config=config, identities=IDENTITIES, card=card)
    return (folder / "README.md").read_text()


def test_the_card_says_what_is_known(exported: tuple[Path, Path]) -> None:
    text = (exported[1].parent / "README.md").read_text()
    head = text.split("---\n")[1]
    assert 'license: "cc-by-nc-4.0"' in head
    assert "- person-re-identification" in head
    assert "- weakly-supervised-learning" in head
    rows = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", text, re.M))
    assert rows["images"] == "SYSU-30k-released; 29,000,000 images"
    assert rows["people"] == "3"
    assert rows["bags"] == "84,930"
    assert rows["length"].startswith("900 of 1,200 steps (")
    assert rows["rank-1"] == "26.9% (95 % interval 24.2% to 29.7%)"
    assert rows["gallery"] == "479,730 images"
    assert rows["code"] == "bagreid 0.1.0, commit abc"
    assert rows["network at the start"] == "resnet50.pth"
    assert rows["seed"] == "0"
    assert "unknown" not in "".join(rows.values())
    assert "Do not use it to follow" in text
    assert "non-commercial research" in text
    assert "/home/somebody" not in text


def test_what_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    text = card_of(tmp_path, CardFacts(name="x"), {})
    assert 'license: "unknown"' in text
    rows = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", text, re.M))
    assert rows["images"] == "unknown; unknown images"
    assert rows["what it was told"] == rows["seed"] == rows["code"] == "unknown"
    assert rows["length"] == "unknown of unknown steps (unknown epochs)"
    assert "It was not tested" in text
    assert "rank-1" not in text
    assert "weakly-supervised-learning" not in text
    assert not re.search(r"\bNone\b|\bnan\b", text)


def test_a_name_cannot_break_the_card(tmp_path: Path) -> None:
    odd = CardFacts(name="a\n# b", archive="x | y\n---", license='z"\nlicense: mit')
    text = card_of(tmp_path, odd, {})
    assert text.count("\n# ") == 1
    assert "x \\| y\\n---; unknown" in text
    assert orjson.loads(text.split("license: ", 1)[1].splitlines()[0]) == odd.license
    assert len(re.findall(r"^---$", text, re.M)) == 2


def test_the_lines_of_the_card_load_it(
    exported: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported[1].parent
    code = re.search(r"```python\n(.+?)```", (folder / "README.md").read_text(), re.S)
    assert code is not None
    assert code[1].count("\n") == 5
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {"images": pictures()}
    exec(code[1], names)  # noqa: S102 - the card's own lines are what is tested
    with torch.no_grad():
        again = embedder(load_for_inference(exported[0], CPU)[0])(pictures())
    assert torch.equal(names["features"], again)


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    with pytest.raises(BagreidError, match="cannot be made"):
        card_of(tmp_path / "model", FACTS, {})
