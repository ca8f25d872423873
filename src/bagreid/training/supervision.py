"""What a batch is taught: targets from bag labels (inferred), or from the truth (the ceiling).

Shape letters: N images, K candidates, S kinds of bag, F folders, B bags, A appearance.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bagreid.catalog import Catalog
from bagreid.contracts import PADDING, BagBatch, BagreidError, IntArray
from bagreid.graph import (
    BagPrior,
    argmax_labels,
    balanced_labels,
    candidate_scores,
    infer_posterior,
)
from bagreid.graph.posterior import PosteriorConfig
from bagreid.graph.space import LabelSpace, label_space
from bagreid.models import ModelOutput
from bagreid.plan.candidates import bag_candidates, folder_candidates, narrowest_candidates
from bagreid.world import send


@dataclass(frozen=True, kw_only=True)
class SupervisionConfig:
    """Where the targets come from."""

    source: Literal["bag", "truth"] = "bag"
    """Bag labels, or the image-level truth (only to measure the ceiling of a bag-trained run)."""
    inference: Literal["posterior", "argmax", "balanced"] = "posterior"
    """Ours (teacher, neighbours, all bags, presence), or the release's argmax or balanced one."""
    candidates: Literal["all_bags", "drawn_bag", "narrowest_bag"] = "all_bags"
    """Who an image may be: anyone any of its bags lists, anyone the drawn bag lists (the
    release), or the label of its smallest bag taken at its word."""
    teacher_decay: float = 0.98
    """Decay of the moving-average teacher, a step. Its weights are also the ones evaluated."""
    trust_from: float = 0.0
    """Share of all steps at which the teacher begins to be trusted."""
    trust_until: float = 0.1
    """Share of all steps at which it is trusted fully; the weight rises linearly in between."""
    prior_weight: float = 0.2
    """Exponent of the bags' prior from `prior_until` on; it falls from 1 when the teacher is fully
    trusted. The network learns the prior with its targets, and what it has learned would
    otherwise be counted twice."""
    prior_until: float = 0.3
    """Share of all steps at which the prior's exponent reaches `prior_weight`."""
    prior_decay: float = 0.99
    """Decay of the running averages that estimate how reliable each kind of bag is, a step."""
    kin_from: float = 0.05
    """Least posterior probability at which a candidate still counts as who an image may be, in
    the triplet loss; 0 counts all of its bags' identities."""
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    """Options of our inference."""

    def __post_init__(self) -> None:
        """Checks the combination."""
        if self.inference == "balanced" and self.candidates != "drawn_bag":
            raise ValueError("the balanced inference takes the drawn bag: candidates drawn_bag")
        if not 0 <= self.teacher_decay < 1 or not 0 <= self.prior_decay < 1:
            raise ValueError("decays lie from 0 to below 1")
        if not 0 <= self.trust_from <= self.trust_until <= 1:
            raise ValueError("0 <= trust_from <= trust_until <= 1 must hold")
        if not 0 <= self.prior_weight <= 1 or not self.trust_until <= self.prior_until <= 1:
            raise ValueError("0 <= prior_weight <= 1 and trust_until <= prior_until <= 1 must hold")

    @property
    def needs_teacher(self) -> bool:
        """Whether targets are inferred from the teacher's scores."""
        return self.source == "bag" and self.inference == "posterior"


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is known of a batch before the network has seen it.

    Attributes:
        candidates: ``(N, K)`` int64, padded with −1.
        evidence: ``(N, K, S)`` float32 (see `FolderCandidates`); empty unless ours is inferred.
        space: The batch's label space; None unless ours is inferred.
        group_of: ``(N, G)`` one-hot, the group of each image; empty unless labels are balanced.
    """

    candidates: Tensor
    evidence: Tensor
    space: LabelSpace | None
    group_of: Tensor

    def to(self, device: torch.device) -> Question:
        """The same with what the device computes on copied there, without waiting."""
        return dataclasses.replace(
            self,
            candidates=send(self.candidates, device),
            evidence=send(self.evidence, device),
            space=None if self.space is None else self.space.to(device),
            group_of=send(self.group_of, device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the losses take.

    Attributes:
        identity: ``(N, K)`` int64, padded with −1.
        weight: ``(N, K)`` probabilities, 0 in the padding.
        label: ``(N,)`` int64, the hard pseudo label.
        confidence: ``(N,)``, its probability.
        kin: ``(N, K')`` int64, candidate sets of the triplet loss.
    """

    identity: Tensor
    weight: Tensor
    label: Tensor
    confidence: Tensor
    kin: Tensor


class Supervisor:
    """Knows the tables of an archive and asks the chosen inference for a batch's targets.

    Args:
        catalog: The archive.
        config: Where the targets come from.

    Raises:
        BagreidError: Truth is asked for and the archive has none, or a folder lies in no bag.
    """

    def __init__(self, catalog: Catalog, config: SupervisionConfig) -> None:
        self.config = config
        self.group = catalog.group
        self.truth = catalog.truth()
        if config.source == "truth" and not (self.truth >= 0).any():
            raise BagreidError(
                "the archive has no image-level truth to train from",
                path=catalog.root,
                remedy="Add truth.csv (image,person_id), or train with supervision.source bag",
            )
        bags, folders = catalog.bags, len(catalog.folder_start)
        tables = folder_candidates(
            bags.folder_offset, bags.folder, bags.label_offset, bags.label, folders
        )
        self.kinds = tables.kinds
        self.evidence = torch.from_numpy(tables.evidence)
        self.labels = torch.from_numpy(bag_candidates(bags.label_offset, bags.label))
        self.identity = torch.from_numpy(tables.identity)
        self.narrowest = torch.from_numpy(
            narrowest_candidates(
                bags.folder_offset, bags.folder, bags.label_offset, bags.label, folders
            )
        )
        _check_covered(catalog, tables.identity)
        self.prior = BagPrior(self.kinds.tolist(), decay=config.prior_decay)

    def ask(self, batch: BagBatch) -> Question:
        """Looks a batch up in the tables; all on the CPU."""
        rows = batch.rows.numpy()
        folder = torch.from_numpy(self.group[rows].astype(np.int64))
        nothing = torch.empty(0)
        if self.config.source == "truth":
            truth = torch.from_numpy(self.truth[rows])
            return Question(truth[:, None], nothing, None, nothing)
        bag_labels = self.labels[batch.bags]
        candidates = self._candidates(folder, bag_labels)
        evidence, space, group_of = nothing, None, nothing
        if self.config.needs_teacher:
            evidence = self.evidence[folder]
            if self.config.candidates != "all_bags":
                evidence = _evidence_of(candidates, self.identity[folder], evidence)
            space = label_space(candidates, batch.groups, bag_labels)
        elif self.config.inference == "balanced":
            _, group = torch.unique(batch.groups, return_inverse=True)
            group_of = F.one_hot(group).float()
        return Question(candidates, evidence, space, group_of)

    def _candidates(self, folder: Tensor, bag_labels: Tensor) -> Tensor:
        if self.config.candidates == "drawn_bag":
            return bag_labels
        if self.config.candidates == "narrowest_bag":
            return self.narrowest[folder]
        return self.identity[folder]

    def answer(
        self, question: Question, output: ModelOutput, teacher: ModelOutput | None, share: float
    ) -> Targets:
        """Infers the targets of a batch.

        Args:
            question: The batch's tables, moved to the device.
            output: What the network says; only read.
            teacher: What the teacher says, where the inference needs one.
            share: Share of all steps that are done, 0…1.

        Returns:
            The targets.
        """
        candidates = question.candidates
        if self.config.source == "truth":
            known = (candidates >= 0).to(output.logits.dtype)
            return Targets(candidates, known, candidates[:, 0], known[:, 0], candidates)
        if self.config.inference == "posterior":
            assert teacher is not None
            return self._posterior(question, teacher, share)
        return self._released(question, output.logits)

    def of_head(self, question: Question, logits: Tensor, targets: Targets) -> Targets:
        """The targets of one of several classifiers.

        Args:
            question: The batch's tables.
            logits: ``(N, C)``, what the classifier says.
            targets: Those of all classifiers together.

        Returns:
            Under the release's inferences, which ask the network itself, each classifier's own;
            else those of all.
        """
        if self.config.source == "truth" or self.config.inference == "posterior":
            return targets
        return self._released(question, logits)

    def _released(self, question: Question, logits: Tensor) -> Targets:
        candidates = question.candidates
        if self.config.inference == "balanced":
            label = balanced_labels(logits, candidates, question.group_of)
        else:
            label = argmax_labels(logits.detach(), candidates)
        ones = torch.ones_like(label, dtype=logits.dtype)
        return Targets(label[:, None], ones[:, None], label, ones, candidates)

    def _posterior(self, question: Question, teacher: ModelOutput, share: float) -> Targets:
        assert question.space is not None
        found = infer_posterior(
            candidate_scores(teacher.logits, question.candidates),
            question.candidates,
            self.prior(question.evidence).pow(self.prior_exponent(share)),
            teacher.appearance,
            question.space,
            teacher_weight=self.trust(share),
            config=self.config.posterior,
        )
        own = question.candidates
        kin = own.masked_fill(found.probability < self.config.kin_from, PADDING)
        return Targets(own, found.probability, found.label, found.confidence, kin)

    def trust(self, share: float) -> float:
        """How far the teacher is trusted when a share of all steps is done."""
        start, end = self.config.trust_from, self.config.trust_until
        if share >= end:
            return 1.0
        return 0.0 if share <= start else (share - start) / (end - start)

    def prior_exponent(self, share: float) -> float:
        """How far the bags' prior still counts when a share of all steps is done."""
        start, end = self.config.trust_until, self.config.prior_until
        if share >= end:
            return self.config.prior_weight
        if share <= start:
            return 1.0
        return 1.0 - (1.0 - self.config.prior_weight) * ((share - start) / (end - start))


def _check_covered(catalog: Catalog, identity: IntArray) -> None:
    images = catalog.folder_stop - catalog.folder_start
    bare = np.flatnonzero((identity == PADDING).all(axis=1) & (images > 0))
    if len(bare):
        raise BagreidError(
            f"{len(bare)} folders with images lie in no bag, the first is "
            f"{catalog.folder_names[int(bare[0])]}",
            path=catalog.root,
            remedy="Add them to the bag file, or take them out of the archive",
        )


def _evidence_of(candidates: Tensor, identity: Tensor, evidence: Tensor) -> Tensor:
    """The evidence of candidates that are fewer than the identities of all the image's bags."""
    same = (candidates[:, :, None] == identity[:, None, :]) & (candidates >= 0)[:, :, None]
    return torch.einsum("nkj,njs->nks", same.to(evidence.dtype), evidence)
