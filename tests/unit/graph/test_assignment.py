"""The release's two inferences: shares, ties, and bags that do not divide evenly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bagreid.graph import argmax_labels, balanced_assignment, balanced_labels


def slow_balanced(scores: list[list[float]]) -> list[int]:
    """Literally, with lists; columns are the identities of the bag in ascending order."""
    images, people = len(scores), len(scores[0])
    label: list[int | None] = [None] * images
    still_open = list(range(people))
    for turn in range(people):
        votes: dict[int, list[int]] = {k: [] for k in still_open}
        for i in range(images):
            if label[i] is None:
                votes[max(still_open, key=lambda k, i=i: scores[i][k])].append(i)
        winner = max(still_open, key=lambda k: len(votes[k]))
        share = images // people + (1 if turn < images % people else 0)
        for i in sorted(votes[winner], key=lambda i: -scores[i][winner])[:share]:
            label[i] = winner
        still_open.remove(winner)
    return [
        max(range(people), key=lambda k: scores[i][k]) if got is None else got
        for i, got in enumerate(label)
    ]


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 10_000))
def test_balanced_equals_the_literal_procedure(images: int, people: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, 8, generator=generator, dtype=torch.float64)
    own = torch.randperm(8, generator=generator)[:people]
    labels = balanced_assignment(logits, own.expand(images, -1))
    ascending = own.sort().values
    expected = slow_balanced(logits[:, ascending].tolist())
    assert labels.tolist() == [int(ascending[k]) for k in expected]


def test_no_share_is_overdrawn_when_all_votes_agree() -> None:
    logits = torch.zeros(7, 3)
    logits[:, 0] = torch.arange(7.0)
    labels = balanced_assignment(logits, torch.tensor([[0, 1, 2]] * 7))
    assert torch.bincount(labels, minlength=3).tolist() == [3, 2, 2]


def test_two_bags_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="takes one bag: image 1 has other candidates"):
        balanced_assignment(torch.zeros(2, 4), torch.tensor([[0, 1], [0, 2]]))


def test_order_and_padding_of_the_candidates_do_not_matter() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(3))
    plain = balanced_assignment(logits, torch.tensor([[1, 3, -1]] * 6))
    mixed = torch.tensor([[1, 3, -1], [3, 1, -1], [-1, 3, 1]] * 2)
    assert torch.equal(plain, balanced_assignment(logits, mixed))


def test_of_equal_scores_the_candidate_listed_first_wins() -> None:
    labels = argmax_labels(torch.zeros(2, 6), torch.tensor([[4, 2], [-1, 5]]))
    assert labels.tolist() == [4, 5]


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=150, deadline=None)
def test_all_bags_at_once_are_assigned_as_one_by_one(seed: int, ties: bool) -> None:
    random = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=random))

    width, rows, groups = number(1, 7), [], []
    for group in range(number(1, 6)):
        row = torch.full((width,), -1)
        listed = torch.randperm(30, generator=random)[: number(1, width + 1)].sort().values
        row[: len(listed)] = listed
        images = number(1, 17)
        rows += [row] * images
        groups += [group] * images
    candidates, group = torch.stack(rows), torch.tensor(groups)
    logits = torch.randn(len(rows), 30, generator=random)
    if ties:
        logits = logits.round()
    slow = torch.empty_like(group)
    for each in group.unique():
        mine = group == each
        slow[mine] = balanced_assignment(logits[mine], candidates[mine])
    group_of = torch.nn.functional.one_hot(group).float()
    assert torch.equal(balanced_labels(logits, candidates, group_of), slow)
