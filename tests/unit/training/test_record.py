"""Accuracy and change of pseudo labels against sets and counting."""

from __future__ import annotations

import numpy as np
import torch

from bagreid.training.record import Agreement, PseudoLabelRecord


def test_accuracy_and_change_equal_counting_by_hand() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 4, 50)
    record = PseudoLabelRecord(truth)
    latest: dict[int, int] = {}
    for _ in range(6):
        known = right = seen = changed = 0
        for _ in range(3):
            rows = rng.choice(50, 8, replace=False)
            labels = rng.integers(0, 4, 8)
            record.note(torch.from_numpy(rows), torch.from_numpy(labels), torch.full((8,), 0.5))
            for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
                known += truth[row] >= 0
                right += truth[row] == label
                seen += row in latest
                changed += row in latest and latest[row] != label
                latest[row] = label
        assert record.take() == Agreement(right / known, changed / seen if seen else None)
    judged = [row for row in latest if truth[row] >= 0]
    assert record.accuracy() == np.mean([latest[row] == truth[row] for row in judged])
    unseen = [row for row in range(50) if row not in latest]
    assert (record.label[unseen] == -1).all()
    assert (record.confidence[list(latest)] == 0.5).all()


def test_counts_start_anew_after_each_line() -> None:
    record = PseudoLabelRecord(np.array([0, 1]))
    assert record.take() == Agreement(None, None)
    assert record.accuracy() is None
    rows = torch.tensor([0, 1])
    record.note(rows, torch.tensor([0, 0]), torch.ones(2))
    assert record.take() == Agreement(0.5, None)
    record.note(rows, torch.tensor([0, 1]), torch.ones(2))
    assert record.take() == Agreement(1.0, 0.5)
    assert record.take() == Agreement(None, None)
    assert record.accuracy() == 1.0


def test_without_truth_only_change_is_known() -> None:
    record = PseudoLabelRecord(np.array([-1, -1]))
    for label in (3, 4):
        record.note(torch.tensor([1]), torch.tensor([label]), torch.tensor([0.25]).bfloat16())
    assert record.take() == Agreement(None, 1.0)
    assert record.accuracy() is None
    assert record.label.tolist() == [-1, 4]
    assert record.confidence.tolist() == [0.0, 0.25]
