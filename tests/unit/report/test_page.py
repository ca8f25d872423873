"""The whole page: complete, well formed, escaped, and calm about what is missing."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bagreid.cli.main import main
from bagreid.contracts import BagreidError
from bagreid.evaluation.statistics import wilson_interval
from bagreid.report import write_report

from .fabricate import edit, make_demo, make_run

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what a test asks about."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        assert not [name for name in values if name.startswith("on")]
        assert len(values) == len(attrs), f"<{tag}> has an attribute twice"
        self.links += [values[key] or "" for key in ("src", "href") if key in values]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    return make_demo(tmp_path_factory.mktemp("work") / "demo", archive)


@pytest.fixture
def run(tmp_path: Path, archive: Path) -> Path:
    return make_run(tmp_path / "run", archive)


def test_a_demo_becomes_one_complete_page(tmp_path: Path, demo: Path) -> None:
    report = write_report(demo, out=tmp_path / "page.html")
    page = Page(report.path)
    written = json.loads((demo / "dgl/evaluation.json").read_text())
    assert report.headline == (
        "Trained on bag labels alone, the network finds the right person first for "
        "40\u00a0% of 15 queries (19\u201363\u00a0%) among 25 images."
    )
    assert report.headline in "".join(page.words)
    for share in (written["cmc"][0], written["cmc"][4], written["mean_ap"]):
        assert f"{100 * share:.1f}" in page.text
    for words in ("Ranked lists", "Curves", "Pseudo labels over time", "Bags", "Configuration"):
        assert words in page.text
    assert "Do not publish it" in page.text
    assert len(page.images) > 150
    assert all(image["alt"] for image in page.images)
    assert page.tags.count("svg") > 10


def test_the_page_needs_nothing_but_itself(tmp_path: Path, demo: Path) -> None:
    page = Page(write_report(demo, out=tmp_path / "page.html").path)
    assert "script" not in page.tags
    for link in page.links:
        assert link.startswith(("data:", "#")), link
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", page.source)
    assert len(page.source) < 10_000_000


def test_a_single_run_stands_alone(run: Path) -> None:
    report = write_report(run)
    page = Page(report.path)
    assert report.path == run / "report.html"
    assert report.headline.startswith("DGL finds the right person first for 40")
    assert "87.5" in page.text
    assert "Against" not in page.text
    assert "resnet10t" in page.text


def test_a_run_shows_its_curves_with_intervals(run: Path) -> None:
    page = Page(write_report(run).path)
    for name in ("cmc", "needle", "first-ranks"):
        assert name in page.ids
    assert "Needle curve of DGL" in page.text
    assert "The right end is the test: 24 wrong answers." in page.text
    assert page.source.count("<polygon") == 4  # the CMC's band and three of the needle curve
    written = json.loads((run / "evaluation.json").read_text())
    hits = round(written["cmc"][4] * 15)
    low, high = wilson_interval(hits, 15)
    assert f"{100 * low:.1f}\u2013{100 * high:.1f}" in page.text


def test_a_run_without_a_needle_curve_says_why(run: Path) -> None:
    data = json.loads((run / "evaluation.json").read_text())
    del data["counts"]["same_camera"]
    (run / "evaluation.json").write_text(json.dumps(data))
    page = Page(write_report(run).path)
    assert "There is no needle curve: its file does not say" in page.text
    assert "needle" not in page.ids


def test_names_cannot_break_out_of_the_page(tmp_path: Path, archive: Path) -> None:
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 6 }}"
    run = make_run(tmp_path / "run", archive, method=hostile)
    edit(run / "config.json", **{hostile: "</style><script>", "part": {hostile: hostile}})
    line = {"kind": "step", "epoch": 0, "step": 1, "loss": {hostile: 1.0}}
    (run / "log.jsonl").write_text(json.dumps(line) + "\n")
    page = Page(write_report(run).path)
    assert "script" not in page.tags
    assert "x" not in page.links
    assert hostile in page.text
    assert "<script" not in page.source


def test_a_run_in_progress_is_described_calmly(run: Path) -> None:
    (run / "evaluation.json").unlink()
    (run / "pseudo_labels.npz").unlink()
    log = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(log[: len(log) // 9])
    page = Page(write_report(run).path)
    assert "The run run is trained to step 30, not evaluated yet." in page.text
    assert "The last line in the log of run is cut" in page.text
    assert "There is no evaluation yet" in page.text
    assert "No validation during training" in page.text
    assert "No pseudo labels yet" in page.text


def test_a_run_that_just_began_has_a_page(run: Path) -> None:
    for name in ("evaluation.json", "pseudo_labels.npz", "log.jsonl"):
        (run / name).unlink()
    report = write_report(run)
    assert report.headline == "The run run has no result yet."
    assert "No training step is logged yet" in Page(report.path).text


def test_a_gone_archive_leaves_empty_frames(tmp_path: Path, run: Path) -> None:
    page = Page(write_report(run, root=tmp_path / "gone").path)
    assert page.images == []
    assert "The archive cannot be opened, so images are empty frames" in page.text
    assert page.source.count('class="gone"') > 100
    assert "without the archive it is not known which bags they lie in" in page.text


def test_a_moved_archive_is_found_with_root(tmp_path: Path, archive: Path, run: Path) -> None:
    moved = shutil.copytree(archive, tmp_path / "moved")
    edit(run / "evaluation.json", root=str(tmp_path / "before"))
    assert len(Page(write_report(run, root=moved).path).images) > 100


def test_an_evaluation_of_features_alone_has_no_rows(run: Path) -> None:
    data = json.loads((run / "evaluation.json").read_text())
    for query in data["queries"]:
        query["row"] = query["match"]["row"] = None
        for hit in query["top"]:
            hit["row"] = None
    (run / "evaluation.json").write_text(json.dumps({**data, "root": None}))
    (run / "pseudo_labels.npz").unlink()
    page = Page(write_report(run).path)
    assert page.images == []
    assert "The result files name no archive" in page.text


def test_queries_without_a_match_are_said_so(run: Path) -> None:
    data = json.loads((run / "evaluation.json").read_text())
    data["queries"][-1] |= {"first_match_rank": -1, "match": None, "average_precision": 0.0}
    data["counts"]["queries_without_match"] = 1
    (run / "evaluation.json").write_text(json.dumps(data))
    page = Page(write_report(run).path)
    assert "no match in the gallery" in page.text
    assert "1 of them without a match" in page.text


def test_a_demo_that_was_stopped_names_what_is_missing(tmp_path: Path, demo: Path) -> None:
    stopped = shutil.copytree(demo, tmp_path / "demo")
    (stopped / "truth/evaluation.json").unlink()
    shutil.rmtree(stopped / "histogram")
    page = Page(write_report(stopped).path)
    assert "Truth is not evaluated yet." in page.text
    assert "Colour histogram is not evaluated yet." in page.text
    assert "not evaluated yet" in page.text


def test_a_failed_report_leaves_the_old_one_and_nothing_beside_it(run: Path) -> None:
    page = write_report(run).path
    before = page.read_bytes()
    (run / "log.jsonl").write_text("nonsense\n")
    with pytest.raises(BagreidError):
        write_report(run)
    assert page.read_bytes() == before
    with pytest.raises(BagreidError, match="is not JSON"):
        write_report(run, out=run / "other.html")
    assert not list(run.glob("*.partial"))
    assert not (run / "other.html").exists()


def test_a_place_that_cannot_be_written_is_named(run: Path) -> None:
    with pytest.raises(BagreidError, match="cannot be written"):
        write_report(run, out=run / "config.json" / "page.html")


def test_the_same_files_give_the_same_page(run: Path) -> None:
    first = write_report(run, out=run / "a.html").path.read_bytes()
    assert write_report(run, out=run / "b.html").path.read_bytes() == first


def test_the_verb_prints_the_headline_and_the_path(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--out", str(run / "page.html")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "DGL finds the right person first for 40 % of 15 queries (19\u201363 %) among 25 images.",
        str(run / "page.html"),
    ]


def test_the_verb_refuses_a_folder_that_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path) in error


def test_the_report_never_imports_torch() -> None:
    code = "import sys, bagreid.report, bagreid.cli.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
