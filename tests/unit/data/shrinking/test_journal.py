"""Journals: whatever is left of one, its whole lines count."""

from __future__ import annotations

from pathlib import Path

import pytest

from bagreid.contracts import BagreidError
from bagreid.data.shrinking.journal import Journal, Note, Standing
from bagreid.data.shrinking.tally import Tally

STEPS = [
    (Standing(Tally(read=9 * n, written=8 * n, shrunk=n)), [Note(f"ü{n}\n.jpg", n, "broken", "?")])
    for n in range(1, 4)
]
STEPS.append((Standing(Tally(read=4096, written=4000, shrunk=4), whole=True), []))


def write(path: Path) -> None:
    journal = Journal(path)
    for standing, notes in STEPS:
        journal.append(standing, notes)
    journal.close()


def test_a_journal_cut_anywhere_tells_of_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "tar.jsonl"
    write(path)
    raw = path.read_bytes()
    for cut in range(len(raw) + 1):
        path.write_bytes(raw[:cut])
        lines = max(raw[:cut].count(b"\n") - 1, 0)
        journal = Journal(path)
        assert journal.standing() == ([Standing(), *(step[0] for step in STEPS)])[lines]
        assert list(journal.notes()) == [note for _, notes in STEPS[:lines] for note in notes]


@pytest.mark.parametrize("cut", [0, 5, 40, 41, 150, 300])
def test_going_on_cuts_off_a_torn_line(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "tar.jsonl"
    write(path)
    path.write_bytes(path.read_bytes()[:cut])
    kept = list(Journal(path).notes())
    journal = Journal(path)
    journal.append(Standing(Tally(read=9)), [Note("a", 1, "left out", "b")])
    journal.close()
    assert Journal(path).standing() == Standing(Tally(read=9))
    assert list(Journal(path).notes()) == [*kept, Note("a", 1, "left out", "b")]


def test_no_journal_is_the_beginning(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none.jsonl").standing() == Standing()


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"schema": "bagreid.shrink-journal/0"}\n')
    with pytest.raises(BagreidError, match="no journal of this version"):
        Journal(path).standing()


def test_tallies_add_up() -> None:
    tally = Tally(read=10, written=5, shrunk=1, small=2, no_gain=3, no_jpeg=4, broken=5, others=6)
    assert (tally + Tally(read=1, unsafe=2)) == Tally(11, 5, 1, 2, 3, 4, 5, 6, 2)
    assert tally.images == 15
