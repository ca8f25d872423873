"""The page: everything gathered, rendered and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bagreid.files import write_beside
from bagreid.report import curves
from bagreid.report.archive import Archive
from bagreid.report.bags import BagCard, bag_cards
from bagreid.report.comparison.entries import needle_trouble
from bagreid.report.comparison.figures import (
    Drawn,
    cmc_figure,
    drawn,
    needle_figures,
    rank_figures,
)
from bagreid.report.configuration import differences, sections
from bagreid.report.environment import page_environment
from bagreid.report.ranked import Group, ranked_groups
from bagreid.report.statistics.on_page import OnPage, on_page
from bagreid.report.story import Story, tell
from bagreid.report.table import facts, result_table
from bagreid.report.wording import comparison_sentence, count, headline
from bagreid.report.work_dir import Method, WorkDir, read_work_dir


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written: where it lies, and its headline."""

    path: Path
    headline: str


def write_report(work_dir: Path, *, out: Path | None = None, root: Path | None = None) -> Report:
    """Writes one self-contained HTML page about a run or a demo.

    Args:
        work_dir: The run's folder, or a demo's with its ``comparison.json``.
        out: Where to write; ``WORK_DIR/report.html`` by default.
        root: Where the archive lies now, where it has moved since.

    Returns:
        The path of the page and its headline.

    Raises:
        BagreidError: When the folder is no work dir, one of its files is broken, or the page
            cannot be written.
    """
    work = read_work_dir(work_dir)
    path = out or work_dir / "report.html"
    _write(path, render(work, root=root))
    return Report(path, headline(work))


def render(work: WorkDir, *, root: Path | None = None) -> str:
    """Renders the page.

    Args:
        work: What it is about.
        root: Where the archive lies now, instead of where the result files say.

    Returns:
        The HTML.
    """
    names, differing = differences(work.methods)
    story = tell(work.main)
    ranked, bags, faults = _pictures(work, root)
    main = work.main
    methods = [
        drawn(method.name, colour, method.evaluation)
        for colour, method in enumerate(work.methods)
        if method.evaluation
    ]
    return (
        page_environment()
        .get_template("page.html.j2")
        .render(
            work=work,
            main=main,
            headline=headline(work),
            comparison=comparison_sentence(work.methods[1:]),
            remarks=_remarks(work, story) + faults,
            table=result_table(work),
            facts=facts(work),
            losses=curves.loss_charts(work.methods),
            validation=curves.validation_charts(work.methods),
            pseudo_labels=curves.pseudo_label_charts(work.methods),
            speed=curves.speed_charts(work.methods),
            steadiness=curves.steadiness_charts(work.methods),
            story=story,
            plots=_plots(methods),
            no_needle=needle_trouble(main.evaluation) if main.evaluation else None,
            ranked=ranked,
            bags=bags,
            sections=sections(main.config or {}),
            compared=names,
            differences=differing,
        )
    )


def _plots(methods: Sequence[Drawn]) -> list[OnPage]:
    """CMC, needle curve, and the main method's first-match ranks."""
    cmc = cmc_figure(methods)
    figures = [cmc] if cmc else []
    figures += needle_figures(methods)[:1]
    figures += rank_figures(methods[:1])
    return [on_page(figure) for figure in figures]


def _pictures(work: WorkDir, root: Path | None) -> tuple[list[Group], list[BagCard], list[str]]:
    """Ranked lists, bags, and what to say about missing images."""
    main = work.main
    archives: dict[Path | None, Archive] = {}

    def archive(named: str | None) -> Archive:
        place = root or (Path(named or work.root or "") if named or work.root else None)
        if place not in archives:
            archives[place] = Archive(place, simulation=main.simulation)
        return archives[place]

    ranked: list[Group] = []
    bags: list[BagCard] = []
    if main.evaluation:
        ranked = ranked_groups(work.methods, archive(main.evaluation.root))
    if main.pseudo_labels:
        bags = bag_cards(main.pseudo_labels, archive(main.pseudo_labels.root))
    return ranked, bags, [fault for opened in archives.values() for fault in opened.faults()]


def _remarks(work: WorkDir, story: Story | None) -> list[str]:
    """What a reader must know before trusting the page."""
    remarks: list[str] = []
    for method in work.methods:
        remarks += _log_remarks(method)
    if work.main.evaluation is None:
        state = "The run goes on, or was stopped." if story is None else story.state
        remarks.append(
            f"There is no evaluation yet. {state} Rank-1, CMC and ranked lists appear here once it "
            "is evaluated."
        )
    labels = work.main.pseudo_labels
    if labels is not None and labels.unlabelled:
        images = count(labels.unlabelled, "training image")
        remarks.append(f"{images} were not met by the training yet and have no pseudo label.")
    late = [method.name for method in work.methods[1:] if method.evaluation is None]
    remarks += [f"{name} is not evaluated yet." for name in late]
    return remarks


def _log_remarks(method: Method) -> list[str]:
    remarks = []
    if method.log.cut:
        remarks.append(
            f"The last line in the log of {method.name} is cut: the run was stopped while it "
            "wrote. All lines before it are used."
        )
    if method.log.not_finite:
        values = count(method.log.not_finite, "value")
        remarks.append(f"{values} in the log of {method.name} are no finite number; left out.")
    return remarks


def _write(path: Path, text: str) -> None:
    with write_beside(path, remedy="Choose a place with --out") as file:
        file.write(text.encode())
