"""From an archive to evaluation.json, and what the report reads of it."""

from functools import partial
from pathlib import Path

import numpy as np
import orjson
import pytest

from bagreid.catalog import Catalog
from bagreid.contracts import BagreidError
from bagreid.evaluation import (
    evaluate_catalog,
    evaluate_features,
    histogram_features,
    load_features,
    write_evaluation,
)
from bagreid.report.results import read_evaluation

FIXTURE = Path(__file__).parents[2] / "reference" / "fixtures" / "evaluation.npz"


@pytest.fixture
def own_features(tmp_path: Path) -> Path:
    """The first recorded case as someone's own features."""
    path = tmp_path / "mine.npz"
    with np.load(FIXTURE) as arrays:
        np.savez(path, **{k.removeprefix("0/"): arrays[k] for k in arrays.files if k[0] == "0"})
    return path


def test_record_of_an_archive(damaged: Catalog, tmp_path: Path) -> None:
    tested = evaluate_catalog(
        partial(histogram_features, damaged), damaged, method="histogram", convention="standard"
    )
    path = tmp_path / "new" / "evaluation.json"
    write_evaluation(tested.record, path)
    record = orjson.loads(path.read_bytes())
    gallery = damaged.split("gallery")
    assert record["cmc_interval"] == tested.result.cmc_interval.tolist()
    assert [query["wrong_answers"] for query in record["queries"]] == [18] * 5
    assert record["counts"]["broken"] == 1
    assert record["broken"] == [damaged.name(gallery[7])]
    assert record["root"] == str(damaged.root)
    assert len(record["cmc"]) == 50
    for place, query in enumerate(record["queries"]):
        assert query["name"] == damaged.name(query["row"])
        assert query["match"]["pid"] == query["pid"]
        assert len(query["top"]) == 10
        scores = [image["score"] for image in query["top"]]
        assert scores == sorted(scores, reverse=True)
        rank = query["first_match_rank"]
        assert [image["match"] for image in query["top"]] == [k == rank for k in range(10)]
        assert rank == tested.result.first_match_rank[place]
    assert [path.name for path in path.parent.iterdir()] == ["evaluation.json"]


def test_the_report_reads_what_is_written(own_features: Path, tmp_path: Path) -> None:
    query, gallery = load_features(own_features)
    tested = evaluate_features(query, gallery, method="mine")
    write_evaluation(tested.record, tmp_path / "evaluation.json")
    read = read_evaluation(tmp_path / "evaluation.json")
    assert read is not None
    assert read.method == "mine"
    assert read.root is None
    assert read.rank(1) == pytest.approx(0.575)
    assert read.counts["matches"] == 1247
    without = [q for q in read.queries if q.rank is None]
    assert len(without) == 2
    assert all(q.match is None for q in without)


def test_an_archive_without_matches_is_refused_before_extraction(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "camera", np.ones_like(catalog.camera))
    with pytest.raises(BagreidError, match="none of the 5 queries has a match"):
        evaluate_catalog(lambda rows: pytest.fail(f"extracted {rows}"), catalog, method="x")
