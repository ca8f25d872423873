"""Our inference: prior over all bags, presence, neighbours, and the whole on a known mixture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bagreid.graph import BagPrior, enforce_presence, infer_posterior
from bagreid.graph.posterior import PosteriorConfig, draw_affinity
from bagreid.graph.prior import listed_share
from bagreid.graph.space import label_space
from bagreid.plan.candidates import bag_candidates, folder_candidates, narrowest_candidates


def neighbour_bags(folders: int) -> tuple[np.ndarray, np.ndarray]:
    """Three bags a folder, of 1, 3 and 5 neighbours clamped at the ends, as offsets and folders."""
    bags = [
        sorted({min(max(i + d, 0), folders - 1) for d in range(-reach, reach + 1)})
        for i in range(folders)
        for reach in (0, 1, 2)
    ]
    return np.cumsum([0, *map(len, bags)]), np.concatenate(bags)


def test_evidence_equals_counting_bag_by_bag() -> None:
    offset, folder = neighbour_bags(7)
    tables = folder_candidates(offset, folder, offset, folder, 7)
    bags = [folder[offset[b] : offset[b + 1]].tolist() for b in range(len(offset) - 1)]
    assert tables.kinds.tolist() == [1, 2, 3, 4, 5]
    for f in range(7):
        for column, kind in enumerate(tables.kinds):
            covering = [bag for bag in bags if len(bag) == kind and f in bag]
            for k in range(7):
                expected = sum(1 / len(bag) for bag in covering if k in bag) / max(len(covering), 1)
                found = tables.evidence[f][tables.identity[f] == k][:, column].sum()
                assert found == pytest.approx(expected, abs=1e-6)


def test_tables_of_labels() -> None:
    label_offset, label = np.array([0, 2, 3]), np.array([4, 7, 1])
    assert bag_candidates(label_offset, label).tolist() == [[4, 7], [1, -1]]
    # folder 0 lies in both bags, the smaller of which is the second; folder 1 only in the first
    narrow = narrowest_candidates(
        np.array([0, 2, 3]), np.array([0, 1, 0]), label_offset, label, num_folders=3
    )
    assert narrow.tolist() == [[1, -1], [4, 7], [-1, -1]]


def test_em_finds_how_reliable_each_kind_of_bag_is() -> None:
    """Images drawn from a known mixture over kinds; the teacher knows each image's identity."""
    generator = torch.Generator().manual_seed(0)
    offset, folder = neighbour_bags(40)
    tables = folder_candidates(offset, folder, offset, folder, 40)
    inner = torch.arange(5, 35)
    evidence = torch.from_numpy(tables.evidence)[inner]
    true_weight = torch.tensor([0.6, 0.0, 0.1, 0.0, 0.3])
    mixture = torch.einsum("fks,s->fk", evidence, true_weight)
    prior = BagPrior([1, 2, 3, 4, 5], decay=0.9)
    for _ in range(400):
        at = torch.randint(len(inner), (500,), generator=generator)
        drawn = torch.multinomial(mixture[at], 1, generator=generator)
        known = torch.zeros(500, evidence.shape[1]).scatter_(1, drawn, 1.0)
        prior.update(prior.responsibilities(evidence[at], known), 500)
    found = prior.mixture(evidence)[0]
    torch.testing.assert_close(found[[0, 2, 4]], true_weight[[0, 2, 4]], rtol=0, atol=0.05)
    torch.testing.assert_close(prior(evidence).sum(dim=1), torch.ones(len(inner)))


def test_reliability_is_the_share_of_images_whose_bags_list_them() -> None:
    evidence = torch.zeros(2, 3, 1)
    evidence[:, :2, 0] = 0.5  # the bag lists the first two candidates of three
    posterior = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.2, 0.6]])
    listed, covered = listed_share(evidence, posterior)
    torch.testing.assert_close(listed / covered, torch.tensor([0.7]))


@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.1, 1.5))
def test_presence_gives_everybody_their_floor_and_moves_no_more(
    seed: int, people: int, floor: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(10, people, generator=generator, dtype=torch.float64)
    group_of = torch.ones(10, 1)
    required = torch.ones(1, people, dtype=torch.bool)
    before = scores.softmax(dim=1)
    after = enforce_presence(scores, group_of, required, floor=floor, iterations=400).exp()
    asked = min(floor, 0.5 * 10 / people)
    assert (after.sum(dim=0) >= asked * 0.99).all()
    torch.testing.assert_close(after.sum(dim=1), torch.ones(10, dtype=torch.float64))
    if (before.sum(dim=0) >= asked).all():
        torch.testing.assert_close(after, before)
    # the nearest posterior only tilts columns: ratios to the first column are one factor a column
    tilt = (after / before) / (after / before)[:, :1]
    torch.testing.assert_close(tilt, tilt[:1].expand_as(tilt))


def test_presence_leaves_other_groups_and_impossible_identities_alone() -> None:
    scores = torch.tensor([[4.0, 0.0, -torch.inf], [4.0, 0.0, -torch.inf], [2.0, 0.0, 1.0]])
    group_of = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    required = torch.tensor([[True, True, True], [False, False, False]])
    after = enforce_presence(scores, group_of, required, floor=0.4)
    torch.testing.assert_close(after[2], scores[2].log_softmax(dim=0))
    # of two images and three names no more than a third of an image each can be asked
    assert after[:2, 1].exp().sum() >= 0.33
    assert torch.isneginf(after[:2, 2]).all()


def test_affinity_stays_within_a_draw_and_sums_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    groups = torch.tensor([0, 0, 0, 1, 1, 2])
    group_of = torch.nn.functional.one_hot(groups).float()
    likeness = draw_affinity(torch.randn(6, 4, generator=generator), group_of, width=0.5)
    assert (likeness[groups[:, None] != groups[None, :]] == 0).all()
    torch.testing.assert_close(likeness.sum(dim=1), torch.tensor([1.0, 1, 1, 1, 1, 0]))
    assert likeness.diagonal().abs().max() == 0


def slow_space(candidates: torch.Tensor) -> list[int]:
    return sorted({int(k) for k in candidates.flatten() if k >= 0})


def test_label_space_spreads_and_collects() -> None:
    candidates = torch.tensor([[7, 3, -1], [3, -1, -1], [9, 7, 3]])
    labels = torch.tensor([[7, 3], [7, 3], [9, 1]])
    space = label_space(candidates, torch.tensor([5, 5, 8]), labels)
    values = torch.tensor([[0.1, 0.2, 0.0], [0.3, 0.0, 0.0], [0.4, 0.5, 0.6]])
    wide = space.spread(values, 0.0)
    assert slow_space(candidates) == [3, 7, 9]
    torch.testing.assert_close(
        wide, torch.tensor([[0.2, 0.1, 0.0], [0.3, 0.0, 0.0], [0.6, 0.5, 0.4]])
    )
    torch.testing.assert_close(space.collect(wide, 0.0), values)
    # identity 1 of the second draw's label is nobody's candidate and cannot be required
    assert space.required.tolist() == [[True, True, False], [False, False, True]]


def infer(
    scores: torch.Tensor, prior: torch.Tensor, appearance: torch.Tensor, **options: float
) -> torch.Tensor:
    n, k = scores.shape
    candidates = torch.arange(k).expand(n, -1)
    space = label_space(candidates, torch.zeros(n, dtype=torch.int64), candidates)
    config = PosteriorConfig(**{"neighbour_weight": 0.0, "presence": 0.0, **options})  # type: ignore[arg-type]
    return infer_posterior(
        scores, candidates, prior, appearance, space, teacher_weight=1.0, config=config
    ).probability


def test_without_extras_it_is_bayes_rule() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(5, 3, generator=generator)
    prior = torch.rand(5, 3, generator=generator)
    prior = prior / prior.sum(dim=1, keepdim=True)
    joint = prior * scores.softmax(dim=1)
    expected = joint / joint.sum(dim=1, keepdim=True)
    torch.testing.assert_close(infer(scores, prior, torch.zeros(5, 2)), expected)


def test_a_doubtful_image_follows_its_look_alike() -> None:
    scores = torch.tensor([[3.0, 0.0], [0.0, 0.1], [0.0, 3.0]])
    prior = torch.full((3, 2), 0.5)
    appearance = torch.tensor([[0.0], [0.1], [5.0]])
    alone = infer(scores, prior, appearance)
    together = infer(scores, prior, appearance, neighbour_weight=1.0)
    assert alone[1].argmax() == 1
    assert together[1].argmax() == 0


def test_padding_never_gets_probability() -> None:
    candidates = torch.tensor([[2, 5], [5, -1]])
    space = label_space(candidates, torch.tensor([0, 0]), torch.tensor([[2, 5], [2, 5]]))
    found = infer_posterior(
        torch.tensor([[1.0, 2.0], [0.5, -torch.inf]]),
        candidates,
        torch.tensor([[0.5, 0.5], [1.0, 0.0]]),
        torch.zeros(2, 3),
        space,
        teacher_weight=1.0,
        config=PosteriorConfig(),
    )
    assert found.probability[1].tolist() == [1.0, 0.0]
    assert found.label[1] == 5
    assert found.probability.isfinite().all()
