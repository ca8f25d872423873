"""Fuzzes the tar scanner: whatever the bytes, each way of scanning finds the same members.

A scan of a local file in runs, one header by header, and one through the moving windows of remote
tars are compared; so is the reader that rewrites tars.
"""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from unittest import mock

from fuzz_target import Target, check_error, result_or_error, scratch_file
from tar_mutation import mutate_tar
from tar_seeds import tar_seeds

from bagreid.shards import ShardReader, TarDamage, TarIndex, scanner, survey_tar, windows
from bagreid.shards.header import is_unsafe
from bagreid.shards.index import read_name
from bagreid.shards.rewrite import RawMember, raw_members, resized
from bagreid.shards.scanner import Scanner

SMALL_RUNS = {"RUN": 16, "_SHORT": 2, "_PATIENCE": 8, "NEAR": 2048}
SMALL_WINDOWS = {"SMALLEST": 1024, "LARGEST": 4096, "AHEAD": 2048}
"""So that an input of some kilobytes crosses all the limits that a tar of gigabytes does."""


class MemorySource:
    """Bytes that are read by ranges, as a remote tar is."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.name, self.data = path, str(path), data
        self.size, self.state = len(data), (len(data), "memory")

    def read(self, offset: int, size: int) -> memoryview:
        assert size >= 0
        assert offset >= 0
        return memoryview(self.data)[offset : offset + size]

    def close(self) -> None:
        pass


class SlowScanner(Scanner):
    """Takes no runs."""

    def _take_run(self) -> int:
        return 0


def check(data: bytes) -> None:
    small = (
        mock.patch.multiple(scanner, **SMALL_RUNS),
        mock.patch.multiple(windows, **SMALL_WINDOWS),
    )
    with scratch_file(data, "a.tar") as path, small[0], small[1]:
        index = survey_tar(path)
        check_members(index, data)
        check_damage(index)
        check_reading(index, data)
        told = facts(index)
        remote = survey_tar(path, source=MemorySource(path, data))
        assert facts(remote) == told, "the moving windows see another tar"
        with mock.patch("bagreid.shards.index.Scanner", SlowScanner):
            assert facts(survey_tar(path)) == told, "header by header it is another tar"
        with mock.patch.multiple(scanner, NEAR=0):
            assert facts(survey_tar(path)) == told, "hopping finds other members than looking"
        if index.damage is None:
            check_rewriting(index, data)


def facts(index: TarIndex) -> tuple[object, ...]:
    damage = index.damage
    return (
        index.names.to_pylist(), index.offset.tolist(), index.size.tolist(),
        index.named_by_header.tolist(), {k: n for k, n in index.skipped.items() if n},
        index.unsafe, index.first_unsafe, index.bytes_after_end, index.bytes,
        damage and (damage.kind, damage.byte, damage.members, damage.last_good,
                    damage.missing_bytes, str(damage)),
    )  # fmt: skip


def check_members(index: TarIndex, data: bytes) -> None:
    names, start, size = index.names.to_pylist(), index.offset, index.size
    assert len(names) == len(start) == len(size) == len(index.named_by_header)
    assert index.bytes == len(data)
    assert (start % 512 == 0).all()
    assert (start >= 512).all()
    assert (size >= 0).all()
    assert (start + size <= len(data)).all(), "a member reaches beyond the file"
    assert (start[1:] >= start[:-1] + size[:-1] + 512).all(), "members overlap"
    assert not any(map(is_unsafe, names)), "an unsafe name was let in"
    assert all(map(is_unsafe, index.first_unsafe))
    assert len(index.first_unsafe) == min(index.unsafe, 10)
    assert all(count >= 0 for count in index.skipped.values())
    assert 0 <= index.bytes_after_end <= len(data)


def check_damage(index: TarIndex) -> None:
    damage = index.damage
    if damage is None:
        return
    assert type(damage) is TarDamage
    check_error(damage)
    assert damage.members == len(index)
    assert damage.last_good == (index.names[-1].as_py() if len(index) else None)
    assert 0 <= damage.byte <= index.bytes
    assert damage.missing_bytes is None or damage.missing_bytes > 0
    again = pickle.loads(pickle.dumps(damage))  # noqa: S301 - our own bytes
    assert (str(again), again.kind, again.byte) == (str(damage), damage.kind, damage.byte)


def check_reading(index: TarIndex, data: bytes) -> None:
    with ShardReader([index.path]) as reader:
        for row, name in enumerate(index.names.to_pylist()):
            start, size = int(index.offset[row]), int(index.size[row])
            assert reader.read(0, start, size) == data[start : start + size]
            if index.named_by_header[row]:
                assert read_name(data[start - 512 : start]) == name


def check_rewriting(index: TarIndex, data: bytes) -> None:
    """The reader that writes tars again takes every byte once, and agrees on the images.

    Written again with three bytes more each, they are found again, and nothing else.
    """
    members, _ = result_or_error(members_of, index)
    if members is None:
        return
    rewritten, grown, images = b"", [], []
    assert all(one.stop == following.start for one, following in pairwise(members))
    for member in members:
        whole = data[member.start : member.stop].ljust(member.stop - member.start, b"\0")
        more = 0
        if member.kind == b"0" and member.resizable:
            more = 3
            content = data[member.data : member.data + member.size] + b"+++"
            whole = resized(member, len(content)) + content + bytes(-len(content) % 512)
        rewritten += whole
        if member.kind == b"0" and not member.unsafe:
            images.append((member.name, member.data, member.size))
            grown.append((member.name, member.size + more))
    found = list(
        zip(index.names.to_pylist(), index.offset.tolist(), index.size.tolist(), strict=True)
    )
    assert set(found) <= set(images)
    assert len(images) - len(found) <= index.skipped.get("sparse file", 0)
    with scratch_file(rewritten + bytes(1024), "b.tar") as path:
        again = survey_tar(path)
    assert again.damage is None, again.damage
    assert again.names.to_pylist() == index.names.to_pylist()
    assert set(zip(again.names.to_pylist(), again.size.tolist(), strict=True)) <= set(grown)
    assert {k: n for k, n in again.skipped.items() if n} == {
        k: n for k, n in index.skipped.items() if n
    }


def members_of(index: TarIndex) -> list[RawMember]:
    with index.path.open("rb") as file:
        return list(raw_members(file, 0, index.path))


TARGET = Target(
    name="tar",
    check=check,
    seeds=tar_seeds,
    mutate=mutate_tar,
    lines_of=tuple(
        f"bagreid.shards.{part}"
        for part in ("scanner", "runs", "header", "found", "damage", "windows", "index", "rewrite")
    ),
    largest=16 * 1024,
)
