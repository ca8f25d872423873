"""`bagreid compare` from the outside: what it prints, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bagreid.cli.main import main

from .results_of import hard_and_easy, record, written


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    names = [f"query/{n:09d}/{n:09d}_c2_1.jpg" for n in range(300)]
    return [
        str(
            written(
                tmp_path / f"{name}.json",
                record(
                    hard_and_easy(300, seed, worse=worse), method=name, names=names, wrong=479_729
                ),
            )
        )
        for name, seed, worse in (("good", 1, 0.0), ("bad", 2, 0.6))
    ]


class Links(HTMLParser):
    """The links of a page, and the names of its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key in {"href", "src"}]
        self.ids += [value or "" for key, value in attrs if key == "id"]


def test_two_methods(two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["compare", *two, "--out", str(out), "--json", str(tmp_path / "c.json")]) == 0
    said = capsys.readouterr().out
    assert "good is ahead of bad by" in said
    assert "exact McNemar, p" in said
    assert "Expected rank-1 among so many wrong answers" in said
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["schema"] == "bagreid.compare/1"
    [pair] = found["pairs"]
    assert (pair["joined_by"], pair["queries"], pair["people"]) == ("name", 300, 300)
    rank1 = pair["rank1"]
    counts = [rank1[key] for key in ("both", "only_first", "only_second", "neither")]
    assert sum(counts) == 300
    assert rank1["difference"] == pytest.approx((counts[1] - counts[2]) / 300)
    assert pair["verdict"] in said
    for method in found["methods"]:
        assert method["needle"]["wrong_answers"][0] == 100
        assert method["needle"]["wrong_answers"][-1] == 479_729
        assert method["needle"]["rank5"]["share"][-1] == pytest.approx(method["cmc"][4])
    again = json.loads((out / "compare.json").read_text())
    stems = again.pop("figures")
    assert again == found
    assert set(stems) >= {"cmc", "needle-rank1", "needle-rank10", "first-ranks-2", "ranks"}
    files = {f"{stem}{suffix}" for stem in stems for suffix in (".svg", ".png", ".csv")}
    assert {path.name for path in out.iterdir()} == files | {"compare.html", "compare.json"}
    page = Links(out / "compare.html")
    assert "script" not in page.tags
    beside = {link for link in page.links if not link.startswith(("#", "data:"))}
    assert beside == files | {"compare.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_same_files_give_the_same_page(two: list[str], tmp_path: Path) -> None:
    for name in ("x", "y"):
        assert main(["compare", *two, "--out", str(tmp_path / name)]) == 0
    for path in (tmp_path / "x").iterdir():
        assert path.read_bytes() == (tmp_path / "y" / path.name).read_bytes()


def test_one_method_has_its_curves_and_leaves_no_older_figures(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", *two, "--out", str(out)]) == 0
    (out / "mine.txt").write_text("keep")
    assert main(["compare", two[0], "--out", str(out)]) == 0
    assert "McNemar" not in capsys.readouterr().out.rpartition("written")[0].rpartition("good")[2]
    names = {path.stem for path in out.iterdir()}
    assert names == {"cmc", "needle", "first-ranks", "compare", "mine"}


def test_other_tests_are_refused_or_drawn_side_by_side(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(written(tmp_path / "o.json", record([0, 5, 70], method="elsewhere", wrong=200)))
    assert main(["compare", two[0], other]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "number of gallery images differs" in error
    assert "--unpaired" in error
    assert main(["compare", two[0], other, "--unpaired", "--out", str(tmp_path / "out")]) == 0
    assert "McNemar" not in capsys.readouterr().out
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "good and elsewhere, side by side and not tested." in page
    assert 'id="pairs"' not in page


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\n\x1b[31m[red]{{ 7 * 6 }}"
    files = [
        str(
            written(
                tmp_path / f"{n}.json", record([n, 4 - n], method=hostile, names=[hostile, "b"])
            )
        )
        for n in range(2)
    ]
    assert main(["compare", *files, "--out", str(tmp_path / "out")]) == 0
    assert "script" not in Links(tmp_path / "out" / "compare.html").tags
    for path in (tmp_path / "out").glob("*.svg"):
        assert "<script" not in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name at least one file"),
        (["absent.json"], "is not there"),
        (["absent.json", "--seed", "-1"], "seed must be at least 0"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_comparing_needs_no_torch(two: list[str]) -> None:
    code = (
        "import sys; from bagreid.cli.main import main; "
        f"main(['compare', *{two!r}]); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
