"""Complete run configurations: plain functions that return one, or copy and edit another's.

A configuration file under ``configs/`` calls one of these and binds the result to ``config``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bagreid.catalog import BagSimulation
from bagreid.contracts import Convention, QuarantineChoice
from bagreid.data import AugmentConfig
from bagreid.data.quarantine import MOST_BROKEN
from bagreid.graph.posterior import PosteriorConfig
from bagreid.models import ModelConfig
from bagreid.plan import PlanConfig
from bagreid.training.config import LossConfig, OptimizerConfig, ScheduleConfig, TrainConfig
from bagreid.training.setup import TrainingSetup
from bagreid.training.supervision import SupervisionConfig

Method = Literal[
    "dgl", "truth", "argmax", "balanced", "folder_labels", "unary_only", "without_triplet"
]
"""The supervisions that are compared: ours, its ceiling, the release's and our ablations."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the archive lies, and how bags are made where it has none."""

    root: Path = Path("data/SYSU-30k-released")
    """The archive's folder, as downloaded or extracted; or that of a strongly labelled set, as
    published (Market-1501, DukeMTMC-reID, MSMT17, CUHK03-NP)."""
    cache: Path | None = None
    """Where its catalog is kept; by default below BAGREID_CACHE or ~/.cache/bagreid."""
    quarantine: QuarantineChoice = "auto"
    """The list of images known to be broken, which are not read; what a run finds broken is added.
    auto: the one beside the catalog; off: none; or a file of yours."""
    most_broken: float = MOST_BROKEN
    """Share of the train images that may be broken, known before or found by the run, before the
    run stops: an archive with more of them is rotten. Ten may be in any case."""
    bag_people: int = 2
    """People of a simulated bag; like the next two only for strongly labelled sets, whose images
    are put into bags at random and whose image-level labels are then hidden."""
    bag_images: int = 4
    """Images of each person in a simulated bag."""
    bag_seed: int = 0
    """Determines who meets whom in the simulated bags, and on which images."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0 <= self.most_broken <= 1:
            raise ValueError(f"most_broken is a share, from 0 to 1, not {self.most_broken}")
        assert self.simulation, "made here, so that its checks are made here"

    @property
    def simulation(self) -> BagSimulation:
        """How bags are made of a strongly labelled set."""
        return BagSimulation(people=self.bag_people, images=self.bag_images, seed=self.bag_seed)


@dataclass(frozen=True, kw_only=True)
class TestConfig:
    """How the result is measured."""

    __test__ = False  # a name that pytest would otherwise take for a test class

    convention: Convention = "sysu30k"
    """Whose definition of CMC and mAP: the release's, or the one of Market-1501's tools."""
    batch_size: int = 128
    """Images a step of feature extraction."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All options of a training run; each is set by its dotted name, as in --train.epochs 3."""

    data: DataConfig = field(default_factory=DataConfig)
    """Where the archive lies."""
    plan: PlanConfig = field(default_factory=PlanConfig)
    """Which images form which batch."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How training images are shown."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Which network is trained."""
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    """Where the targets come from."""
    loss: LossConfig = field(default_factory=LossConfig)
    """What the network is punished for."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How the weights are updated."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the learning rate moves."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How long, how exactly, and what is kept."""
    test: TestConfig = field(default_factory=TestConfig)
    """How the result is measured."""


def as_plain(value: Any) -> Any:
    """A configuration as nested dicts, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [as_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def training_setup(config: RunConfig) -> TrainingSetup:
    """What the training loop needs of a run's configuration."""
    return TrainingSetup(
        plan=config.plan,
        augment=config.augment,
        model=config.model,
        supervision=config.supervision,
        loss=config.loss,
        optimizer=config.optimizer,
        schedule=config.schedule,
        train=config.train,
        quarantine=config.data.quarantine,
        most_broken=config.data.most_broken,
        resolved=as_plain(config),
    )


def demo() -> RunConfig:
    """DGL with our inference on the archive of `bagreid synth`: minutes on two CPU cores."""
    return RunConfig(
        data=DataConfig(root=Path("data/synthetic")),
        plan=PlanConfig(groups=12, images_per_group=8),
        augment=AugmentConfig(
            height=96, width=48, pad=6, jitter=(0.2, 0.15, 0.15, 0.0), cast=0.25, erase=0.5
        ),
        model=ModelConfig(backbone="resnet10t", neck="bn"),
        supervision=SupervisionConfig(),
        loss=LossConfig(
            triplet_kin="pseudo_labels",
            triplet_normalised=True,
            triplet_margin=0.3,
            triplet_weight=1.0,
            label_smoothing=0.1,
        ),
        optimizer=OptimizerConfig(name="adamw", learning_rate=2e-3, weight_decay=0.02),
        schedule=ScheduleConfig(kind="cosine", warmup=0.1),
        train=TrainConfig(epochs=28, checkpoint_every=10_000, validate_every=10),
    )


def pets() -> RunConfig:
    """The demo's run for a real set of some thousand images; its bags come from the bag file."""
    base = demo()
    return dataclasses.replace(
        base,
        data=DataConfig(root=Path("data/pets-a")),
        plan=dataclasses.replace(base.plan, kind="bag_file"),
        train=dataclasses.replace(base.train, epochs=40),
    )


def with_method(config: RunConfig, method: Method) -> RunConfig:
    """The same run under another supervision.

    Args:
        config: A run with our inference.
        method: ``dgl`` leaves it as it is; ``truth`` trains from image-level labels; ``argmax``
            and ``balanced`` are the release's inferences on the drawn bag, with its pairwise term
            and candidate-set triplet; ``folder_labels`` takes the smallest bag at its word;
            ``unary_only`` and ``without_triplet`` leave terms out of ours.

    Returns:
        The edited configuration.
    """
    supervision, loss = config.supervision, config.loss
    released_loss = dataclasses.replace(loss, triplet_kin="candidates")
    if method == "truth":
        supervision = dataclasses.replace(supervision, source="truth")
    elif method in ("argmax", "balanced"):
        inference: Literal["argmax", "balanced"] = "argmax" if method == "argmax" else "balanced"
        supervision = dataclasses.replace(supervision, inference=inference, candidates="drawn_bag")
        loss = released_loss
    elif method == "folder_labels":
        supervision = dataclasses.replace(
            supervision, inference="argmax", candidates="narrowest_bag"
        )
    elif method == "unary_only":
        posterior = dataclasses.replace(supervision.posterior, neighbour_weight=0.0)
        supervision = dataclasses.replace(supervision, posterior=posterior)
        loss = dataclasses.replace(loss, pairwise_weight=0.0)
    elif method == "without_triplet":
        loss = dataclasses.replace(loss, triplet_weight=0.0)
    return dataclasses.replace(config, supervision=supervision, loss=loss)


def r50_sysu30k() -> RunConfig:
    """The released recipe of ResNet-50 on SYSU-30k: unary term, balanced assignment.

    Resize 224×112, random crop 192×96, flip, colour jitter 0.1/0.1/0.1/0, random erasing; 180
    images a batch in 12 groups of 15 from 1, 3 and 5 neighbouring folders; SGD with Nesterov
    momentum 0.9, weight decay 5e-4, 1e-4 for the backbone and 1e-3 for the classifier, 8 epochs;
    tested at 256×128, resized by bicubic interpolation. The release starts from ImageNet weights
    and compares the class logits in its test.

    What the release does not fix, and what is chosen here: no drop of the learning rate in the
    8 epochs; flip and erasing with probability 0.5, as in its recipe of MGN; bicubic
    interpolation in training, as in its test.
    """
    return RunConfig(
        plan=PlanConfig(kind="windows", groups=12, images_per_group=15),
        augment=AugmentConfig(
            height=192,
            width=96,
            test_size=(256, 128),
            resize=(224, 112),
            interpolation="bicubic",
            flip=0.5,
            jitter=(0.1, 0.1, 0.1, 0.0),
            erase=0.5,
        ),
        model=ModelConfig(backbone="resnet50", pretrained=True, embedding="logits"),
        supervision=SupervisionConfig(
            inference="balanced", candidates="drawn_bag", teacher_decay=0.0
        ),
        loss=LossConfig(graph_weight=1.0, pairwise_weight=0.0, triplet_weight=0.0),
        optimizer=OptimizerConfig(
            name="sgd",
            learning_rate=1e-4,
            classifier_learning_rate=1e-3,
            momentum=0.9,
            weight_decay=5e-4,
        ),
        schedule=ScheduleConfig(kind="step", warmup=0.0),
        train=TrainConfig(epochs=8, workers=8, log_every=50, checkpoint_every=2000),
    )


def ours_sysu30k() -> RunConfig:
    """The same images, network and length with our inference and all loss terms."""
    base = r50_sysu30k()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, neck="bn", embedding="backbone"),
        supervision=SupervisionConfig(
            teacher_decay=0.999, prior_decay=0.999, posterior=PosteriorConfig()
        ),
        loss=demo().loss,
        optimizer=dataclasses.replace(
            base.optimizer, learning_rate=1e-2, classifier_learning_rate=2e-2
        ),
        schedule=ScheduleConfig(kind="cosine"),
    )


def mgn(root: Path) -> RunConfig:
    """The released recipe of MGN, on a strongly labelled set with simulated bags.

    384×128, bicubic, flip, random erasing with probability 0.5 (0 after normalisation); batches
    of 8 bags, each of two people with four images: 16 identities × 4 images, though an identity
    may come in two bags of a batch; Adam with AMSGrad, 2e-4, weight decay 5e-4, 300 epochs, ×0.1
    at 250 and 290; 1 · graph loss (mean over the eight classifiers) + 2 · weak triplet loss
    (mean over the three features of the whole image), margin 1.2; graph loss = unary + 2 ·
    pairwise, σ 1; pseudo labels by argmax over the drawn bag.

    What the release does not fix, and what is chosen here: its sampler of bags is not documented;
    ours fixes them by `DataConfig.bag_seed`, and an epoch shows every image once. There is no
    warm-up, and the test is the standard one of these sets.

    Args:
        root: Where the set lies.
    """
    return RunConfig(
        data=DataConfig(root=root, bag_people=2, bag_images=4),
        plan=PlanConfig(kind="bag_file", groups=8, images_per_group=8),
        augment=AugmentConfig(height=384, width=128, interpolation="bicubic", flip=0.5, erase=0.5),
        model=ModelConfig(backbone="mgn", pretrained=True),
        supervision=SupervisionConfig(
            inference="argmax", candidates="drawn_bag", teacher_decay=0.0
        ),
        loss=LossConfig(
            graph_weight=1.0,
            pairwise_weight=2.0,
            sigma=1.0,
            triplet_weight=2.0,
            triplet_margin=1.2,
            triplet_kin="candidates",
            triplet_normalised=False,
        ),
        optimizer=OptimizerConfig(name="adam", amsgrad=True, learning_rate=2e-4, weight_decay=5e-4),
        schedule=ScheduleConfig(kind="step", warmup=0.0, milestones=(250, 290), gamma=0.1),
        train=TrainConfig(
            epochs=300, workers=4, log_every=50, checkpoint_every=1000, validate_every=50
        ),
        test=TestConfig(convention="standard"),
    )


def mgn_market1501() -> RunConfig:
    """MGN on Market-1501: 12,936 train images of 751 people."""
    return mgn(Path("data/market1501"))


def mgn_dukemtmc() -> RunConfig:
    """MGN on DukeMTMC-reID, which its authors have withdrawn: for old results only."""
    return mgn(Path("data/dukemtmc"))


def mgn_msmt17() -> RunConfig:
    """MGN on MSMT17, either version: 32,621 train images of 1,041 people."""
    return mgn(Path("data/msmt17"))


def mgn_cuhk03() -> RunConfig:
    """MGN on CUHK03 in the new protocol: 767 people to train on.

    Where the folder holds both kinds of boxes, name one: --data.root data/cuhk03/labeled.
    """
    return mgn(Path("data/cuhk03"))
