"""The tables against the release's, written out here once more."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from bagreid.catalog import open_catalog
from bagreid.catalog.published import Count
from bagreid.catalog.statistics import Statistics, count_archive
from bagreid.report.statistics.datasets import PUBLISHED_SETS
from bagreid.report.statistics.tables import Table, counts_table, signed, table_1, table_2

RELEASED = """\
data set,identities,scene,annotation,cameras,images
CUHK03,1467,in,strong,2,28192
Market-1501,1501,out,strong,6,32668
Duke,1812,out,strong,8,36411
MSMT17,4101,in+out,strong,15,126441
CUHK01,971,in,strong,10,3884
PRID,934,out,strong,2,1134
VIPeR,632,out,strong,2,1264
CAVIAR,72,in,strong,2,610
SYSU-30k,30508,in+out,weak,countless,29606918
"""


@pytest.fixture
def statistics(archive: Path) -> Statistics:
    return count_archive(open_catalog(archive), np.zeros(0, np.int64))


def test_table_1_is_the_releases_with_this_archive_below(statistics: Statistics) -> None:
    table = table_1(statistics)
    assert table.csv() == RELEASED + "this archive,20,,weak,2 in the test set,80\n"
    assert table.rows[-1][0] == "this archive"


def test_table_2_sets_imagenet_the_release_and_this_archive_side_by_side(
    statistics: Statistics,
) -> None:
    rows = list(csv.reader(io.StringIO(table_2(statistics).csv())))
    assert rows[1] == ["ImageNet-1k", "1000", "1280000", "1280", "strong"]
    assert rows[2] == ["SYSU-30k", "30508", "29606918", "970", "weak"]
    assert rows[3] == ["this archive", "20", "80", "4", "weak"]


def test_test_parts_are_part_of_their_sets() -> None:
    for known in PUBLISHED_SETS:
        assert (known.test_images is None) == (known.test_identities is None)
        assert (known.test_images or 0) < known.images
        assert (known.test_identities or 0) < known.identities
    sysu = PUBLISHED_SETS[-1]
    assert (sysu.test_images, sysu.test_identities) == (480_730, 2_198)


def test_counts_stand_beside_the_published_and_differences_where_they_mean_something(
    statistics: Statistics,
) -> None:
    table = counts_table(statistics)
    assert list(table.header) == ["", "here", "published"]
    assert ["train images", 40, 29_126_188] in [list(row) for row in table.rows]
    full = {
        name: getattr(statistics, name)
        for name in statistics.__dataclass_fields__
        if name not in ("full_set", "counts")
    }
    counts = (Count("images", 5, 7), Count("bags", 9, 8), Count("matches", 4, 4))
    meant = Statistics(**full, full_set=True, counts=(*counts, Count("train tars", 1, None)))
    assert counts_table(meant).header[-1] == "difference"
    assert [row[-1] for row in counts_table(meant).rows] == ["\u22122", "+1", "none"]
    assert signed(-1204) == "\u22121,204"


def test_markdown_keeps_its_columns() -> None:
    table = Table(
        name="x",
        title="T",
        header=["set", "images", "scene"],
        rows=[["a|b", 1200, None], ["c", None, "in"]],
    )
    assert table.markdown().splitlines() == [
        "**T**",
        "",
        "| set | images | scene |",
        "| --- | ---: | --- |",
        "| a\\|b | 1,200 | \u2013 |",
        "| c | \u2013 | in |",
    ]
