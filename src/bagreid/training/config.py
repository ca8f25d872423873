"""The options of training, each part's beside the others'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are updated."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """SGD with Nesterov momentum, Adam, or Adam with decoupled weight decay."""
    learning_rate: float = 1e-2
    """Peak learning rate of the backbone."""
    classifier_learning_rate: float | None = None
    """Peak learning rate of classifier and neck; the backbone's where not given."""
    momentum: float = 0.9
    """Nesterov momentum of SGD."""
    amsgrad: bool = False
    """Adam with the AMSGrad correction."""
    weight_decay: float = 5e-4
    """L2 penalty on all weights; with adamw the share of them that decays at rate 1."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.learning_rate <= 0 or (self.classifier_learning_rate or 1.0) <= 0:
            raise ValueError("learning rates must be positive")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate moves; a pure function of the step."""

    kind: Literal["cosine", "step"] = "cosine"
    """Down to zero along a half cosine, or down by `gamma` at each of `milestones`."""
    warmup: float = 0.05
    """Share of all steps over which the rate rises linearly from zero."""
    milestones: tuple[int, ...] = ()
    """Epochs at whose beginning a step schedule drops."""
    gamma: float = 0.1
    """Factor of each drop."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0 <= self.warmup < 1:
            raise ValueError("warmup is a share of the steps, from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Which losses, how strongly."""

    graph_weight: float = 1.0
    """Weight of unary + pairwise_weight · pairwise."""
    pairwise_weight: float = 2.0
    """Weight of the relaxed pairwise term inside the graph loss; 0 leaves it out."""
    sigma: float = 1.0
    """Width of the pairwise term's Gaussian kernel, in squared units of the appearance."""
    triplet_weight: float = 2.0
    """Weight of the weakly supervised triplet loss; 0 leaves it out."""
    triplet_margin: float = 1.2
    """Margin of the triplet loss, in Euclidean distance of the embeddings."""
    triplet_kin: Literal["candidates", "pseudo_labels"] = "candidates"
    """Whom an image is pulled to: images whose candidate sets meet its own (the release), or of
    these only those of its own pseudo label. Images whose sets do not meet are pushed away."""
    triplet_normalised: bool = False
    """Compare L2-normalised embeddings, whose distances lie between 0 and 2."""
    label_smoothing: float = 0.0
    """Share of each target's probability that goes to all identities alike."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, how exactly, and what is kept."""

    epochs: int = 8
    """Passes over all training images."""
    seed: int = 0
    """Determines the weights at the start, every batch and every augmentation."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the network: bf16 autocast where the processor or GPU has it (auto); fp16
    scales the loss, so that small gradients are not lost."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    workers: int = 1
    """Processes that read, decode and resize, a rank; 0 does it in the training process."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after the other, where it does not fit the memory at
    once. Batch norm, pairs and triplets then see the images of a part."""
    compile: bool = False
    """Compile the network by torch.compile: a slower start, faster steps. It needs a C++ compiler.
    The numbers agree with those of an uncompiled run to rounding."""
    log_every: int = 10
    """Steps between two lines of the log."""
    checkpoint_every: int = 500
    """Steps between two checkpoints; one is also written at the end and when interrupted."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept, beside the one that validated best."""
    most_skipped: int = 10
    """Steps in a row whose loss or gradient may be no finite number (they change nothing) before
    the run stops and lists their images."""
    most_worker_deaths: int = 3
    """Times that the loader's workers are started anew after one of them died, before the run
    stops."""
    hang_minutes: float = 10.0
    """Minutes that a process may stand still in a step before it says which rank is to blame and
    ends; 0 waits for ever. It must be longer than the longest step."""
    validate_every: int = 0
    """Epochs between two validations on the archive's test set, beside the one at the end; 0 for
    that one alone."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.epochs < 1 or self.log_every < 1 or self.checkpoint_every < 1:
            raise ValueError("epochs, log_every and checkpoint_every must be at least 1")
        if self.keep_checkpoints < 1 or self.accumulate < 1 or self.most_skipped < 1:
            raise ValueError("keep_checkpoints, accumulate and most_skipped must be at least 1")
        least = min(self.workers, self.validate_every, self.most_worker_deaths, self.hang_minutes)
        if least < 0:
            raise ValueError(
                "workers, validate_every, most_worker_deaths and hang_minutes must be at least 0"
            )
