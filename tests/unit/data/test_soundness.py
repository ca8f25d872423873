"""Decoding all images: what counts as broken, samples, the journal, and bad spots of a disk."""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_pictures import smooth_image
from torchvision.io import encode_jpeg, encode_png

from bagreid.catalog import Catalog
from bagreid.catalog.survey import Survey, survey_archive
from bagreid.contracts import BagreidError
from bagreid.data.soundness import Inspector, Journal, check_images, choose_sample, portions

JPEG = encode_jpeg(smooth_image(1, 96, 48)).numpy().tobytes()
Make = Callable[..., Catalog]


def scan_start(jpeg: bytes) -> int:
    at = jpeg.index(b"\xff\xda")
    return at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")


@pytest.fixture
def inspector() -> Inspector:
    return Inspector()


def test_whole_images_are_fine(inspector: Inspector) -> None:
    assert inspector.fault(JPEG) is None
    assert inspector.fault(memoryview(encode_png(smooth_image(2)).numpy().tobytes())) is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_image_is_broken(inspector: Inspector, share: float) -> None:
    assert inspector.fault(JPEG[: int(share * len(JPEG))])


def test_zeros_among_the_pixels_are_noticed_though_they_decode(inspector: Inspector) -> None:
    at = scan_start(JPEG) + 20
    reason = inspector.fault(JPEG[:at] + bytes(len(JPEG) - at - 2) + JPEG[-2:])
    assert reason is not None
    assert reason.startswith("some of its pixels are lost (Corrupt JPEG data")


def test_a_complaint_is_about_its_own_image(inspector: Inspector) -> None:
    at = scan_start(JPEG) + 20
    damaged = JPEG[:at] + bytes(len(JPEG) - at - 2) + JPEG[-2:]
    found = [
        inspector.fault(data) is None for data in (JPEG, damaged, JPEG, damaged, JPEG[:50], JPEG)
    ]
    assert found == [True, False, True, False, False, True]


def test_text_is_no_image(inspector: Inspector) -> None:
    assert inspector.fault(b"404 not found" * 40) == "the bytes are neither a JPEG nor a PNG"


def test_stderr_works_again_afterwards(capfd: pytest.CaptureFixture) -> None:
    with Inspector() as other:
        other.fault(JPEG)
        os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_a_sample_is_spread_over_all_tars(sizes: list[int], share: float, seed: int) -> None:
    shard = np.repeat(np.arange(len(sizes), dtype=np.uint16), sizes)
    shard = np.random.Generator(np.random.Philox(5)).permutation(shard)
    count = max(1, int(share * len(shard)))
    rows = choose_sample(shard, count, seed)
    assert len(np.unique(rows)) == len(rows) == count
    assert (np.diff(rows) > 0).all()
    assert (rows == choose_sample(shard, count, seed)).all()
    there, given_ = np.array(sizes), np.bincount(shard[rows], minlength=len(sizes))
    assert (given_ <= there).all()
    if count >= (there > 0).sum():
        assert (given_[there > 0] >= 1).all()
    fair = count * there / there.sum()
    assert (np.abs(given_ - fair) <= 1 + (there > 0).sum()).all()


def test_a_sample_reaches_all_parts_of_a_tar() -> None:
    rows = choose_sample(np.zeros(10_000, np.uint16), 100, 3)
    assert (rows // 100 == np.arange(100)).all()


def test_other_seeds_draw_other_images() -> None:
    shard = np.zeros(1000, np.uint16)
    assert (choose_sample(shard, 50, 1) != choose_sample(shard, 50, 2)).any()


def test_more_than_there_are_is_all_there_are() -> None:
    assert choose_sample(np.zeros(5, np.uint16), 9, 0).tolist() == [0, 1, 2, 3, 4]


def surveyed(make_catalog: Make, *broken: str) -> Survey:
    def damage(name: str, data: bytes) -> bytes:
        return data[: len(data) // 2] if name in broken else data

    return survey_archive(make_catalog(damage).root)


BROKEN = (
    "sysu_train_set_all/0000000003/002.jpg",
    "sysu_test_set_all/query/000000007/000000007_c2_1.jpg",
)


def test_broken_images_are_listed_by_row(make_catalog: Make) -> None:
    survey = surveyed(make_catalog, *BROKEN)
    told: list[tuple[int, int]] = []
    found = check_images(
        survey,
        None,
        workers=0,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [survey.name(fault.row) for fault in found.broken] == list(BROKEN)
    assert found.images == len(survey.members) == 37
    assert told[-1] == (37, 37)


def test_only_the_rows_asked_for_are_decoded(make_catalog: Make) -> None:
    survey = surveyed(make_catalog, *BROKEN)
    rows = np.flatnonzero(survey.members.split == 0)
    assert len(check_images(survey, rows, workers=0).broken) == 1
    assert check_images(survey, rows[:0], workers=0).images == 0


def test_extracted_files_are_decoded_too(make_catalog: Make, tmp_path: Path) -> None:
    packed = make_catalog().root
    for tar in packed.rglob("*.tar"):
        with tarfile.open(tar) as source:
            source.extractall(tmp_path / "loose", filter="data")
    (tmp_path / "loose" / BROKEN[0]).write_bytes(JPEG[:200])
    survey = survey_archive(tmp_path / "loose")
    found = check_images(survey, None, workers=0)
    assert [survey.name(fault.row) for fault in found.broken] == [BROKEN[0]]


def test_tars_behind_urls_are_decoded_too(make_catalog: Make, tmp_path: Path) -> None:
    survey = surveyed(make_catalog, *BROKEN)
    found = check_images(survey, None, workers=0)
    pointers = [tmp_path / f"{tar.path.name}.url" for tar in survey.tars]
    for tar, pointer in zip(survey.tars, pointers, strict=True):
        pointer.write_text(f"{tar.path.as_uri()}\n")
    survey.tars = tuple(
        replace(tar, path=pointer) for tar, pointer in zip(survey.tars, pointers, strict=True)
    )
    assert check_images(survey, None, workers=0) == found
    assert len(found.broken) == len(BROKEN)


def test_a_bad_spot_of_the_disk_costs_one_image(
    make_catalog: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = surveyed(make_catalog)
    row = 17
    start = int(survey.members.block[row]) * 512
    spot = range(start + 5, start + 6)
    real = os.pread

    def pread(file: int, size: int, offset: int) -> bytes:
        if offset <= spot.start < offset + size and os.fstat(file).st_size > 20_000:
            raise OSError(errno.EIO, "Input/output error")
        return real(file, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    rows = np.flatnonzero(survey.members.shard == survey.members.shard[row])
    (fault,) = check_images(survey, rows, workers=0).broken
    assert fault.row == row
    assert fault.reason == "the disk does not give it back (Input/output error)"


def test_a_tar_that_shrinks_meanwhile_is_an_error(make_catalog: Make) -> None:
    survey = surveyed(make_catalog)
    path = survey.tars[0].path
    path.write_bytes(path.read_bytes()[:4096])
    with pytest.raises(BagreidError, match="ends at byte 4096 by now"):
        check_images(survey, None, workers=0)


def test_a_stopped_check_goes_on_where_it_was(
    make_catalog: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PORTION", 4)
    survey = surveyed(make_catalog, *BROKEN)
    rows, path = np.arange(len(survey.members)), tmp_path / "journal"

    def stop(done: int, total: int) -> None:  # noqa: ARG001
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Journal(path) as journal:
        check_images(survey, rows, workers=0, journal=journal, progress=stop)
    with Journal(path) as journal:
        found = check_images(survey, rows, workers=0, journal=journal)
        journal.finish()
    assert found.resumed == 20
    assert found.images == 37
    assert [survey.name(fault.row) for fault in found.broken] == list(BROKEN)
    assert not path.exists()


def test_a_tar_that_changed_is_decoded_again(make_catalog: Make, tmp_path: Path) -> None:
    survey = surveyed(make_catalog)
    rows, path = np.arange(len(survey.members)), tmp_path / "journal"
    with Journal(path) as journal:
        check_images(survey, rows, workers=0, journal=journal)
    os.utime(survey.tars[0].path)
    survey = survey_archive(survey.root)
    with Journal(path) as journal:
        found = check_images(survey, rows, workers=0, journal=journal)
    assert found.resumed == len(survey.split("query")) + len(survey.split("gallery"))


def test_a_torn_line_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        journal.put("a", [(3, "broken")])
        journal.put("b", [])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            assert journal.get("b") is None
            assert journal.get("a") in (None, [(3, "broken")])
            journal.put("b", [(9, "x")])
        with Journal(path) as journal:
            assert journal.get("b") == [(9, "x")]


def test_a_journal_of_another_schema_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text('{"schema":"bagreid.soundness/0"}\n{"piece":"a","broken":[]}\n')
    with Journal(path) as journal:
        assert journal.get("a") is None


def test_two_checks_of_all_images_do_not_mix(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "journal"),
        pytest.raises(BagreidError, match="another process"),
        Journal(tmp_path / "journal"),
    ):
        pass


def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BagreidError, match="cannot be written"), Journal(tmp_path / "file" / "j"):
        pass
