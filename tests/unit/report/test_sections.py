"""The parts of a page: table, ranked lists, bags, configuration."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagreid.catalog import open_catalog
from bagreid.report.archive import HEIGHT, Archive
from bagreid.report.bags import bag_cards, choose_bags
from bagreid.report.configuration import differences, flatten, sections
from bagreid.report.curves import pseudo_label_charts
from bagreid.report.log import TrainingLog
from bagreid.report.ranked import choose, ranked_groups
from bagreid.report.results import QueryResult, read_pseudo_labels
from bagreid.report.table import facts, result_table
from bagreid.report.work_dir import Method, read_work_dir

from .fabricate import curve, edit, make_demo, make_run, pseudo_labels


def query(name: str, rank: int | None, pid: int = 1) -> QueryResult:
    return QueryResult(
        row=None,
        name=name,
        pid=pid,
        camid=2,
        rank=rank,
        average_precision=0.0 if rank is None else 1 / rank,
        match=None,
        top=(),
    )


def test_the_table_says_what_the_files_say(tmp_path: Path, archive: Path) -> None:
    demo = make_demo(tmp_path / "demo", archive)
    rows = result_table(read_work_dir(demo)).rows
    for row, key in zip(rows, ("dgl", "truth", "histogram"), strict=True):
        written = json.loads((demo / key / "evaluation.json").read_text())
        low, high = written["rank1_interval"]
        assert row.rank1 == f"{100 * written['cmc'][0]:.1f}"
        assert row.rank5 == f"{100 * written['cmc'][4]:.1f}"
        assert row.rank10 == f"{100 * written['cmc'][9]:.1f}"
        assert row.mean_ap == f"{100 * written['mean_ap']:.1f}"
        assert row.mean_inp is None
        assert row.interval == f"{100 * low:.1f}\u2013{100 * high:.1f}"
    assert [row.pseudo_label_accuracy for row in rows] == ["87.5", None, None]
    assert [row.supervision for row in rows] == ["bag labels", "image labels", "none"]


def test_methods_are_compared_query_by_query(tmp_path: Path, archive: Path) -> None:
    table = result_table(read_work_dir(make_demo(tmp_path / "demo", archive)))
    assert table.rows[0].versus is None
    assert table.rows[1].versus == "+2\u2009/\u2009\u22120"
    assert table.rows[2].versus == "+0\u2009/\u2009\u22126"
    assert table.unlike == ()


def test_methods_of_another_convention_are_not_compared(tmp_path: Path, archive: Path) -> None:
    demo = make_demo(tmp_path / "demo", archive)
    edit(demo / "truth/evaluation.json", convention="standard")
    table = result_table(read_work_dir(demo))
    assert table.rows[1].versus is None
    assert table.unlike == ("Truth",)


def test_facts_come_from_the_counts(tmp_path: Path, archive: Path) -> None:
    work = read_work_dir(make_run(tmp_path / "run", archive))
    known = {name: (value, remark) for name, value, remark in facts(work)}
    assert known["Queries"][0] == "15"
    assert known["Gallery"] == ("25", "10 of them distractors")
    assert known["Training images"] == ("40", "of 5 people")
    assert known["Training steps"] == ("390", "in 4 epochs")


@given(
    ranks=st.lists(st.none() | st.integers(1, 30), max_size=40),
    people=st.integers(1, 9),
    each=st.integers(1, 5),
)
def test_no_query_is_chosen_twice_and_the_order_holds(
    ranks: list[int | None], people: int, each: int
) -> None:
    queries = [query(f"q{i}", rank, i % people) for i, rank in enumerate(ranks)]
    best, median, worst = choose(queries, each)
    chosen = [q.name for q in [*best, *median, *worst]]
    assert len(chosen) == len(set(chosen)) == min(len(queries), 3 * len(best))
    assert all(len(part) <= each for part in (best, median, worst))
    if people >= len(ranks):
        far = [q.rank or 99 for q in [*best, *median, *worst]]
        assert far == sorted(far)
        if len(queries) >= 3 * each:
            assert [q.rank or 99 for q in best] == sorted(r or 99 for r in ranks)[:each]


def test_the_best_show_different_people() -> None:
    queries = [query(f"q{i}", 1, pid=i // 4) for i in range(16)]
    best, _, worst = choose(queries)
    assert len({q.pid for q in best}) == len({q.pid for q in worst}) == 4


def test_ranked_lists_hold_the_match_and_the_others_ranks(tmp_path: Path, archive: Path) -> None:
    work = read_work_dir(make_demo(tmp_path / "demo", archive))
    images = Archive(archive)
    best, median, worst = ranked_groups(work.methods, images)
    assert [len(group.cards) for group in (best, median, worst)] == [4, 4, 4]
    first = best.cards[0]
    assert first.first
    assert first.tiles[0].right
    assert first.match is not None
    assert first.match.place == "1"
    last = worst.cards[-1]
    assert last.verdict == "true match at rank 10"
    assert last.others == "Truth ranks it 8 and Colour histogram 18."
    assert last.match is not None
    assert (last.match.place, last.match.right) == ("10", True)
    assert [tile.place for tile in last.tiles] == [str(place) for place in range(1, 11)]


def test_broken_changed_and_absent_images_are_counted(archive: Path) -> None:
    images = Archive(archive)
    catalog = open_catalog(archive)
    broken = next(
        r for r in catalog.split("gallery") if catalog.name(r).endswith("others_c1_0.jpg")
    )
    assert images.picture(0, "fine").uri is not None
    assert images.picture(broken, "no JPEG").uri is None
    assert images.picture(0, "another name", "elsewhere/else.jpg").uri is None
    assert images.picture(None, "no row").uri is None
    assert images.picture(10**9, "no such row").uri is None
    assert images.faults()[0].startswith("4 of 5 images asked for")


def test_large_images_are_scaled_down(archive: Path) -> None:
    import base64
    import io

    from PIL import Image

    images = Archive(archive)
    uris = [images.picture(row, "").uri for row in (0, 1)]
    sizes = []
    for uri in uris:
        assert uri is not None
        data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
        sizes.append(Image.open(io.BytesIO(data)).size)
    assert sizes == [(HEIGHT // 2, HEIGHT), (48, 96)]


def test_a_gone_archive_gives_empty_frames(tmp_path: Path) -> None:
    images = Archive(tmp_path / "gone")
    assert images.picture(0, "someone").uri is None
    assert "empty frames" in images.faults()[0]
    assert "empty frames" in Archive(None).faults()[0]


def test_bags_show_each_width_and_mark_wrong_labels(tmp_path: Path, archive: Path) -> None:
    np.savez(tmp_path / "labels.npz", **pseudo_labels(archive))
    labels = read_pseudo_labels(tmp_path / "labels.npz")
    assert labels is not None
    catalog = open_catalog(archive)
    chosen = choose_bags(catalog)
    widths = np.diff(catalog.bags.folder_offset)[chosen]
    assert len(chosen) == len(set(chosen)) == 6
    assert sorted(widths.tolist()) == widths.tolist()
    assert len(set(widths.tolist())) == 3
    for bag, card in zip(chosen, bag_cards(labels, Archive(archive)), strict=True):
        tiles = [tile for person in card.people for tile in person.tiles]
        folders = catalog.bags.folders(bag)
        assert len(tiles) == min(24, 8 * len(folders))
        if len(folders) <= 3:
            assert sum(tile.truth is not None for tile in tiles) == len(folders)
            assert "88\u00a0% of its pseudo labels are right" in card.note


def test_bags_without_truth_mark_nothing(tmp_path: Path, archive: Path) -> None:
    np.savez(tmp_path / "labels.npz", **(pseudo_labels(archive) | {"truth": np.full(40, -1)}))
    labels = read_pseudo_labels(tmp_path / "labels.npz")
    assert labels is not None
    for card in bag_cards(labels, Archive(archive)):
        assert "The truth is not known here" in card.note
        assert all(tile.truth is None for person in card.people for tile in person.tiles)


def test_configuration_is_flattened_and_compared() -> None:
    one = {"seed": 7, "model": {"name": "r50", "parts": [1, 2], "head": {"width": 256}}}
    two = {"seed": 7, "model": {"name": "r10", "parts": [1, 2]}}
    assert flatten(one) == {
        "seed": "7",
        "model.name": "r50",
        "model.parts": "[1, 2]",
        "model.head.width": "256",
    }
    assert [section.name for section in sections(one)] == ["run", "model"]
    methods = [Method(name="A", config=one), Method(name="B", config=two), Method(name="C")]
    names, found = differences(methods)
    assert names == ["A", "B"]
    assert [(row.option, row.values) for row in found] == [
        ("model.name", ("r50", "r10")),
        ("model.head.width", ("256", "\u2013")),
    ]
    assert differences(methods[2:]) == ([], [])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_queries_are_shared_out(count: int) -> None:
    best, median, worst = choose([query(f"q{i}", i + 1) for i in range(count)])
    assert [len(best), len(worst), len(median)] == [int(count > 0), int(count > 1), 0]


def test_kinds_of_bags_have_a_line_each() -> None:
    curves = {f"reliability/{width}": curve(0.5, 0.6) for width in ("5", "11", "1")}
    (chart,) = pseudo_label_charts([Method(name="DGL", log=TrainingLog(curves=curves, epochs=2))])
    assert [name for name, _ in chart.legend] == [
        "bags of 1 folder",
        "bags of 5 folders",
        "bags of 11 folders",
    ]
    assert chart.x_label == "step \u00b7 2 epochs in all"
