"""The file of a checkpoint: what was saved is read, or it is said that it cannot be."""

from __future__ import annotations

import os
import random
import zipfile
from pathlib import Path

import pytest
import torch
from states import same, small_state

from bagreid.contracts import BagreidError
from bagreid.training.checkpoint import (
    Checkpoint,
    checkpoint_path,
    list_checkpoints,
    newest_whole,
    read_checkpoint,
    write_checkpoint,
)
from bagreid.training.damage import DamagedCheckpointError
from bagreid.training.snapshot import Snapshots


def save(folder: Path, step: int, state: dict[str, object] | None = None) -> Path:
    path = checkpoint_path(folder, step)
    content = {
        "config": {"train": {"epochs": 3}}, "identities": [4, 9], "code": {"bagreid": "0.1"},
        "step": step, "state": state or small_state(step),
    }  # fmt: skip
    write_checkpoint(path, Snapshots().take(content))
    return path


def equal(one: Checkpoint, two: Checkpoint) -> None:
    same(one.state, two.state)
    fields = ("step", "config", "identities", "code", "world", "digest")
    assert [getattr(one, name) for name in fields] == [getattr(two, name) for name in fields]


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "new", 7)
    again = read_checkpoint(path)
    assert (again.path, again.step, again.identities) == (path, 7, [4, 9])
    assert again.config == {"train": {"epochs": 3}}
    assert (again.code, again.world) == ({"bagreid": "0.1"}, {})
    same(small_state(7), again.state)
    model = again.state["model"]
    assert model["tied"].data_ptr() == model["first"].data_ptr()


def test_a_file_of_ours_needs_no_code_of_ours(tmp_path: Path) -> None:
    content = torch.load(save(tmp_path, 1), weights_only=True)
    assert content["format"] == "bagreid.checkpoint/2"
    assert torch.equal(content["state"]["model"]["first"], small_state(1)["model"]["first"])
    assert content["bytes"] < checkpoint_path(tmp_path, 1).stat().st_size < 40_000


def test_the_same_state_gives_the_same_digest_in_whatever_file(tmp_path: Path) -> None:
    one = read_checkpoint(save(tmp_path / "a", 1))
    turned = dict(reversed(small_state(1).items()))
    assert read_checkpoint(save(tmp_path / "b", 1, turned)).digest == one.digest
    assert read_checkpoint(save(tmp_path / "c", 2, turned)).digest != one.digest


def unharmed_or_told(path: Path, raw: bytes | bytearray, good: Checkpoint) -> bool:
    """A file of these bytes is read as it was, or refused by our own error; whether refused."""
    path.write_bytes(raw)
    try:
        equal(read_checkpoint(path), good)
    except BagreidError:
        return True
    return False


def test_any_damage_is_noticed_or_harmless(tmp_path: Path) -> None:
    path, draw = save(tmp_path, 3), random.Random(5)
    good, raw = read_checkpoint(path), path.read_bytes()
    noticed = 0
    for place in draw.sample(range(len(raw)), 400):
        changed = bytearray(raw)
        changed[place] ^= 1 << draw.randrange(8)
        noticed += unharmed_or_told(path, changed, good)
    assert noticed > 100
    for end in (*range(40), *draw.sample(range(len(raw)), 60), len(raw) - 1):
        assert unharmed_or_told(path, raw[:end], good), end
    for start in range(0, len(raw), 512):
        unharmed_or_told(path, raw[:start] + bytes(512) + raw[start + 512 :], good)
    for _ in range(40):
        start, length = draw.randrange(len(raw)), draw.randrange(1, 2000)
        unharmed_or_told(path, raw[:start] + raw[start + length :], good)


def test_every_byte_of_a_tensor_counts(tmp_path: Path) -> None:
    path = save(tmp_path, 1, {"weight": torch.randn(64)})
    raw = path.read_bytes()
    start = raw.index(torch.load(path)["state"]["weight"].numpy().tobytes())
    for place in range(start, start + 256, 5):
        changed = bytearray(raw)
        changed[place] ^= 16
        path.write_bytes(changed)
        with pytest.raises(DamagedCheckpointError, match="digest is not that of its content"):
            read_checkpoint(path)


def test_the_errors_say_what_is_damaged(tmp_path: Path) -> None:
    path = save(tmp_path, 1, {"weight": torch.randn(5000)})
    raw = path.read_bytes()
    inner = zipfile.ZipFile(path).getinfo("archive/data.pkl").header_offset + 100
    cases = [
        (b"", "it is empty"),
        (raw[:9000], r"it is cut: 9,000 of more than 20,000 bytes are there"),
        (raw[:-100], r"its directory, at the end of its [\d,]+ bytes, is cut off or has changed"),
        (b"\0" * 4096 + raw[4096:], r"do not begin as a checkpoint's \(no zip\)"),
        (raw[:inner] + b"\xff" + raw[inner + 1 :], "its part archive/data.pkl has changed"),
    ]
    for bytes_there, message in cases:
        path.write_bytes(bytes_there)
        with pytest.raises(DamagedCheckpointError, match=message) as caught:
            read_checkpoint(path)
        assert f"{path}: damaged: " in str(caught.value)
        assert "--resume-from auto" in str(caught.value)


@pytest.mark.parametrize("below", ["", "checkpoints"])
def test_a_folder_stands_for_its_newest(tmp_path: Path, below: str) -> None:
    for step in (2, 30):
        save(tmp_path / below, step)
    (tmp_path / below / "step-000000099.pt.partial").write_bytes(b"cut")
    (tmp_path / below / "step-best.pt").write_bytes(b"not ours")
    assert read_checkpoint(tmp_path).path == checkpoint_path(tmp_path / below, 30)


def test_steps_of_ten_digits_come_after_those_of_nine(tmp_path: Path) -> None:
    for step in (10**9, 999_999_999, 5):
        checkpoint_path(tmp_path, step).touch()
    found = [path.name for path in list_checkpoints(tmp_path)]
    assert found == ["step-000000005.pt", "step-999999999.pt", "step-1000000000.pt"]


@pytest.mark.parametrize("folder", ["", "absent"])
def test_where_there_is_none_that_is_told(tmp_path: Path, folder: str) -> None:
    said: list[str] = []
    assert newest_whole(tmp_path / folder, said.append) is None
    assert not said
    with pytest.raises(BagreidError, match=r"no checkpoint here.*step-\*\.pt|no such file"):
        read_checkpoint(tmp_path / folder)


def test_damaged_ones_are_told_and_passed_over(tmp_path: Path) -> None:
    said: list[str] = []
    paths = [save(tmp_path / "checkpoints", step) for step in (1, 2, 3)]
    for path in paths[1:]:
        path.write_bytes(path.read_bytes()[:-1000])
    found = newest_whole(tmp_path, said.append)
    assert found is not None
    assert found.path == paths[0]
    assert [line.partition(": ")[0] for line in said] == [str(paths[2]), str(paths[1])]
    assert all("is cut off or has changed. It is passed over" in line for line in said)
    paths[0].write_bytes(b"")
    with pytest.raises(BagreidError, match=r"none of the 3 checkpoints here is whole.*--anew"):
        newest_whole(tmp_path, said.append)


def test_an_older_format_is_refused_for_resuming_and_named(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 4)
    content = {"format": "bagreid.checkpoint/1", "step": 4, "config": {}, "identities": []}
    torch.save(content, path)
    for read in (read_checkpoint, lambda path: newest_whole(path.parent, print)):
        with pytest.raises(BagreidError, match=r"an older version of bagreid.*--pretrained"):
            read(path)
    torch.save(content | {"format": "bagreid.checkpoint/3"}, path)
    with pytest.raises(BagreidError, match="a newer version of bagreid"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(2)}, [1, 2], torch.zeros(3)])
def test_foreign_files_are_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "net_6.pth"
    torch.save(content, path)
    with pytest.raises(BagreidError, match=r"net_6\.pth: this is no checkpoint of bagreid"):
        read_checkpoint(path)


def test_pickled_code_is_refused_and_not_called_damage(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    torch.save({"format": "bagreid.checkpoint/2", "code": Path("x")}, path)
    with pytest.raises(BagreidError, match="wants to run pickled code") as caught:
        read_checkpoint(path)
    assert not isinstance(caught.value, DamagedCheckpointError)


def in_a_child(work: object, *arguments: object) -> int:
    """Runs a function in a forked process that is nobody; its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(65534)
            code = int(work(*arguments))  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def says(text: str, read: object, path: Path) -> int:
    """0 where reading is refused so, and not as damage; another number where not."""
    try:
        read(path)  # type: ignore[operator]
    except DamagedCheckpointError:
        return 3
    except BagreidError as error:
        return 0 if text in str(error) else 4
    return 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else for this test")
def test_rights_are_no_damage(tmp_path: Path) -> None:
    path = save(tmp_path / "run", 1)
    for folder in (*tmp_path.parents[:2], tmp_path):
        folder.chmod(0o755)
    path.chmod(0)
    whole = [read_checkpoint, lambda path: newest_whole(path.parent, print)]
    for read in whole:
        assert in_a_child(says, "this file may not be read. Check its rights", read, path) == 0
    path.parent.chmod(0)
    assert in_a_child(says, "may not be read", read_checkpoint, path) == 0
    assert in_a_child(says, "the folder cannot be read", list_checkpoints, path.parent) == 0
