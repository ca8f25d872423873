"""Weight files of every known form, and of none: what is filled, what is said, what is refused."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.models import ModelConfig, ReidNetwork, build_model, load_for_inference
from bagreid.models.weights import load_weights, read_file, state_dict_of, to_our_names

from .fabricate import fill, released_resnet50, resnet50

CLASSES = 6
CPU = torch.device("cpu")
SMALL = ModelConfig(backbone="resnet10t", neck="bn")


class Code:
    """Unpickled by Python, it would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    return released_resnet50(CLASSES)


@pytest.fixture(scope="module")
def bare() -> dict[str, Tensor]:
    return fill(resnet50(), seed=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net_6.pth"


def saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def backbone_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """The backbone's tensors by torchvision's names."""
    names = {name: name.removeprefix("backbone.") for name in model.state_dict()}
    return {short: model.state_dict()[name] for name, short in names.items() if short != name}


def assert_same(own: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert own
    for name, value in own.items():
        assert torch.equal(value, theirs[name]), name


# --- the known forms ---


def test_the_released_resnet_is_filled_and_shown_images_as_released(
    path: Path, released: dict[str, Tensor]
) -> None:
    torch.save(OrderedDict(released), path)
    model, meta = load_for_inference(path, CPU)
    plain = {name.removeprefix("module.model."): value for name, value in released.items()}
    assert_same(backbone_of(model), plain)
    head = "module.classifier.classifier.0."
    assert isinstance(model, ReidNetwork)
    assert torch.equal(model.classifier.weight, released[head + "weight"])
    assert torch.equal(model.classifier.bias, released[head + "bias"])
    assert meta.report.complete
    assert meta.report.form == "released ResNet-50 of SYSU-30k"
    assert meta.report.unused == ("backbone.fc.weight", "backbone.fc.bias")
    assert meta.num_classes == CLASSES
    assert (meta.height, meta.width, meta.interpolation) == (256, 128, "bicubic")
    assert not model.training
    assert meta.config.embedding == "logits"  # what the released test compares
    with torch.inference_mode():
        assert model.embed(torch.zeros(1, 3, 64, 32)).shape == (1, CLASSES)


def test_the_released_logits_are_a_feature_on_demand(
    path: Path, released: dict[str, Tensor]
) -> None:
    torch.save(released, path)
    model, meta = load_for_inference(path, CPU, feature="logits")
    assert meta.config.embedding == "logits"
    with torch.inference_mode():
        images = torch.zeros(1, 3, 64, 32)
        assert torch.equal(model.embed(images), model(images).logits)


def test_files_from_before_batches_were_counted_are_read(
    path: Path, released: dict[str, Tensor]
) -> None:
    torch.save({n: t for n, t in released.items() if "num_batches" not in n}, path)
    _, meta = load_for_inference(path, CPU)
    assert all(name.endswith("num_batches_tracked") for name in meta.report.missing)


def with_momentum(bare: dict[str, Tensor]) -> dict[str, Tensor]:
    query = {f"module.encoder_q.{name}": value for name, value in bare.items()}
    key = {f"module.encoder_k.{name}": value + 1 for name, value in bare.items()}
    return query | key | {"module.queue": torch.zeros(4, 4), "module.queue_ptr": torch.zeros(1)}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda bare: bare,
        lambda bare: {"epoch": 200, "arch": "resnet50", "state_dict": bare},
        lambda bare: {"state_dict": {f"module.{n}": t for n, t in bare.items()}},
        lambda bare: {"state_dict": {f"backbone.{n}": t for n, t in bare.items()}},
        lambda bare: {"model": {f"_orig_mod.module.{n}": t for n, t in bare.items()}},
        lambda bare: {"state_dict": with_momentum(bare)},
        lambda bare: {f"module.model.{n}": t for n, t in bare.items()},
    ],
    ids=["bare", "state_dict", "module", "backbone", "compiled", "momentum", "without-head"],
)
def test_a_self_supervised_backbone_is_filled_whatever_wraps_it(
    path: Path, bare: dict[str, Tensor], wrap: Any
) -> None:
    torch.save(wrap(bare), path)
    model, meta = load_for_inference(path, CPU)
    assert_same(backbone_of(model), bare)
    assert meta.report.form == "a bare backbone"
    assert meta.report.missing == ("classifier.weight", "classifier.bias")
    with pytest.raises(BagreidError, match=r"classifier\.weight"):
        load_for_inference(path, CPU, feature="logits")


def test_old_torch_files_and_safetensors_are_read(path: Path) -> None:
    tensors = {"a.weight": torch.arange(6.0).view(2, 3)}
    path.write_bytes(saved(tensors, _use_new_zipfile_serialization=False))
    assert torch.equal(read_file(path)["a.weight"], tensors["a.weight"])
    flat = path.with_suffix(".safetensors")
    save_file(tensors, flat)
    assert torch.equal(read_file(flat)["a.weight"], tensors["a.weight"])


@pytest.mark.parametrize("form", [None, "bagreid.checkpoint/1", "bagreid.checkpoint/2"])
def test_a_checkpoint_of_ours_comes_back_as_its_moving_average(
    path: Path, form: str | None
) -> None:
    student, teacher = build_model(SMALL, CLASSES), build_model(SMALL, CLASSES)
    run = {
        "model": {"backbone": "resnet10t", "neck": "bn", "pretrained": True},
        "augment": {"height": 96, "width": 48, "interpolation": "bilinear"},
    }
    state = {"model": student.state_dict(), "teacher": teacher.state_dict()}
    nested = {"state": state} if form == "bagreid.checkpoint/2" else state
    torch.save({"format": form, "config": run, **nested}, path)
    model, meta = load_for_inference(path, CPU)
    assert_same(model.state_dict(), teacher.state_dict())
    assert (meta.height, meta.width, meta.interpolation) == (96, 48, "bilinear")
    assert meta.config == SMALL
    assert meta.training == run


def test_a_checkpoint_of_a_later_version_is_refused(path: Path) -> None:
    weights = build_model(SMALL, CLASSES).state_dict()
    torch.save({"config": {"model": {"backbone": "resnet10t", "wings": 2}}, "model": weights}, path)
    with pytest.raises(BagreidError, match="wings"):
        load_for_inference(path, CPU)


# --- the account ---


def test_other_class_counts_are_reported_with_both_shapes(
    path: Path, released: dict[str, Tensor]
) -> None:
    torch.save(released, path)
    model = build_model(ModelConfig(), 4)
    assert isinstance(model, ReidNetwork)
    before = model.classifier.weight.clone()
    report = load_weights(model, path)
    assert report.mismatched == (
        ("classifier.weight", (CLASSES, 2048), (4, 2048)),
        ("classifier.bias", (CLASSES,), (4,)),
    )
    assert torch.equal(model.classifier.weight, before)
    plain = {name.removeprefix("module.model."): value for name, value in released.items()}
    assert_same(backbone_of(model), plain)
    assert not report.complete
    lines = str(report).splitlines()
    assert lines[0] == f"{path}: released ResNet-50 of SYSU-30k; 318 of 320 tensors loaded"
    assert lines[1:3] == [
        "  not loaded, other shape: classifier.weight is 6 x 2048 in the file, 4 x 2048 here",
        "  not loaded, other shape: classifier.bias is 6 in the file, 4 here",
    ]
    assert lines[3] == (
        "  in the file, without a place here (2): backbone.fc.weight, backbone.fc.bias"
    )


def test_every_tensor_is_accounted_for_once(path: Path, released: dict[str, Tensor]) -> None:
    some = {name: value for name, value in released.items() if "layer4.2" not in name}
    torch.save(some, path)
    model = build_model(ModelConfig(), 4)
    report = load_weights(model, path)
    other = [name for name, _, _ in report.mismatched]
    assert sorted([*report.loaded, *report.missing, *other]) == sorted(model.state_dict())
    assert len(report.loaded) + len(report.unused) + len(other) == len(some)
    assert all(name.startswith("backbone.layer4.2.") for name in report.missing)
    assert f"left as initialised ({len(report.missing)})" in str(report)
    with pytest.raises(BagreidError, match=r"layer4\.2.*does not fill.*resnet50"):
        load_for_inference(path, CPU)


def test_weights_of_another_network_are_refused_and_nothing_is_changed(path: Path) -> None:
    model = build_model(SMALL, CLASSES)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({"encoder.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(BagreidError, match=r"1 tensors.*nothing in this file fits the network"):
        load_weights(model, path)
    assert_same(model.state_dict(), before)
    # a classifier alone is no start either
    torch.save(
        {"backbone.x": torch.zeros(1), "classifier.weight": before["classifier.weight"]}, path
    )
    with pytest.raises(BagreidError, match="nothing in this file fits"):
        load_weights(model, path)


def test_names_without_a_place_are_kept() -> None:
    form, tensors = to_our_names(
        {"classifier.classifier.0.bias": torch.zeros(2), "x": torch.ones(1)}
    )
    assert form.startswith("released")
    assert list(tensors) == ["classifier.bias", "x"]


# --- what is refused ---


@pytest.mark.parametrize(
    "content",
    [
        saved({"state_dict": {"a": torch.zeros(2)}, "args": argparse.Namespace(lr=1)}),
        saved(Code()),
        saved(torch.nn.Linear(2, 2)),
        saved(Code(), _use_new_zipfile_serialization=False),
        pickle.dumps(Code()),
        pickle.dumps(Code(), protocol=2),
    ],
    ids=["namespace", "code", "module", "old-code", "pickle", "pickle-2"],
)
def test_a_file_that_wants_code_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BagreidError, match="wants to run pickled code, which is refused") as caught:
        read_file(path)
    assert caught.value.path == path
    assert caught.value.remedy


def test_the_refusal_names_what_the_file_asks_for(path: Path) -> None:
    torch.save({"args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(BagreidError, match=r"it asks for argparse\.Namespace"):
        read_file(path)


def damaged() -> dict[str, bytes]:
    good = {"module.a.weight": torch.randn(3, 4), "module.b": torch.zeros(5)}
    cases = {"empty": b"", "html": b"<html>404</html>", "text": b"hello world"}
    for form, content in {
        "zip": saved(good),
        "old": saved(good, _use_new_zipfile_serialization=False),
    }.items():
        for share in (0.01, 0.3, 0.6, 0.9, 0.99):
            cases[f"{form}-cut-{share}"] = content[: int(share * len(content))]
    return cases


@pytest.mark.parametrize("content", damaged().values(), ids=damaged().keys())
def test_a_damaged_file_is_said_to_be_no_checkpoint(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BagreidError, match="no checkpoint, or a damaged or cut one") as caught:
        load_for_inference(path, CPU)
    assert caught.value.path == path
    assert caught.value.remedy


def test_whatever_bytes_come_the_error_is_ours(path: Path) -> None:
    draw = random.Random(5)
    whole = saved({"a.weight": torch.zeros(3, 4)}, _use_new_zipfile_serialization=False)
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        for content in (bytes(flipped), draw.randbytes(draw.randrange(1, 200))):
            path.write_bytes(content)
            with contextlib.suppress(BagreidError):
                state_dict_of(read_file(path), path)


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    for content in (b"", b"junk" * 9, path.read_bytes()[:-8]):
        path.write_bytes(content)
        with pytest.raises(BagreidError, match="no checkpoint"):
            read_file(path)


@pytest.mark.parametrize(
    "content",
    [{}, [], {"state_dict": {}}, torch.zeros(3), {"epoch": 3}, {"state_dict": {"lr": 0.1}}],
    ids=["empty", "list", "empty-inside", "tensor", "no-tensors", "no-tensors-inside"],
)
def test_a_file_without_weights_is_refused(path: Path, content: Any) -> None:
    torch.save(content, path)
    with pytest.raises(BagreidError, match=r"holds no (state dict|tensors)"):
        load_for_inference(path, CPU)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(BagreidError, match="no such weight file") as caught:
            load_weights(build_model(SMALL, 2), path)
        assert caught.value.path == path
