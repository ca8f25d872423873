"""A whole run: train, test, export. Runs are compared in `bagreid.comparing`.

This is where training and evaluation meet: each hands the other nothing but callables and files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import orjson
import torch
from rich.console import Console
from torch import nn

from bagreid import __version__
from bagreid.catalog import Catalog
from bagreid.contracts import IntArray
from bagreid.data.opening import open_together
from bagreid.data.quarantine import BrokenImages
from bagreid.evaluation import (
    Evaluation,
    evaluate_catalog,
    extract_features,
    write_evaluation,
)
from bagreid.evaluation.features import ImageFeatures
from bagreid.evaluation.protocol import Extract
from bagreid.exporting import export_run
from bagreid.files import write_json
from bagreid.models import ReidModel, embedder, projection_of
from bagreid.recipes import RunConfig, as_plain, training_setup
from bagreid.resuming import (
    check_resumable,
    check_shared,
    code_versions,
    find_checkpoint,
    other_arithmetic,
    read_together,
    restarted,
)
from bagreid.training.checkpoint import Checkpoint, list_checkpoints
from bagreid.training.digest import digest_of
from bagreid.training.loop import Interrupted, Trainer, TrainingResult
from bagreid.training.setup import TrainingSetup, idle_share
from bagreid.training.status import RunStatus
from bagreid.world import World, barrier, of_main, open_world


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trained and tested run.

    Attributes:
        training: How the training ended.
        evaluation: The test; None on ranks other than the first, and where there is no test set.
    """

    training: TrainingResult
    evaluation: Evaluation | None


def network_extract(
    network: nn.Module,
    known: BrokenImages,
    config: RunConfig,
    world: World,
    folder: Path | None = None,
    weights: str = "",
) -> Extract:
    """A network in evaluation mode as a function from catalog rows to features.

    Args:
        network: The network.
        known: The images of the archive known to be broken.
        config: How images are shown, and by how many processes.
        world: Who computes with whom, and where.
        folder: Where features are kept while they are wanted, one subfolder a side; it must be one
            that all machines see. None keeps them in memory, which one process alone may.
        weights: What tells the network from others that may have left features in the folder.
    """
    assert isinstance(network, ReidModel)
    embed, projection = embedder(network), projection_of(network)

    def extract(rows: IntArray | range) -> ImageFeatures:
        side = "query" if rows == known.catalog.split("query") else "gallery"
        was_training = network.training
        network.eval()
        try:
            return extract_features(
                embed,
                known.catalog,
                rows,
                augment=config.augment,
                projection=projection,
                batch_size=config.test.batch_size,
                workers=config.train.workers,
                device=world.device,
                known=known,
                world=world,
                out_dir=None if folder is None else folder / side,
                weights=weights,
            )
        finally:
            network.train(was_training)

    return extract


def run_training(
    config: RunConfig,
    work_dir: Path,
    console: Console,
    *,
    method: str = "DGL",
    resume_from: Literal["auto"] | Path | None = None,
    pretrained: Path | None = None,
    anew: bool = False,
    deterministic: bool = False,
    profile: bool = False,
) -> Outcome:
    """Trains and tests one run, on as many processes as torchrun started.

    Args:
        config: The run.
        work_dir: Gets ``config.json``, ``state.json``, ``log.jsonl``, ``checkpoints/``,
            ``pseudo_labels.npz``, ``evaluation.json`` and ``model/``. Of many machines all must
            see it.
        console: Where people read.
        method: What to call the run in its results.
        resume_from: Continue from this checkpoint, or the newest whole one of this work dir;
            ``auto``: the newest whole one of the run's own, or begin where there is none.
        pretrained: Start from the weights of this file, where the run begins.
        anew: Begin even where the work dir holds a run, which is removed.
        deterministic: Use only algorithms that give the same bits every time.
        profile: Write down where the time of some steps goes.

    Returns:
        How it ended.

    Raises:
        BagreidError: The archive, the configuration or a weight file cannot be used.
        Interrupted: A signal asked the run to stop; it can be resumed.
    """
    if restarted():
        anew = False
        if resume_from is None or list_checkpoints(work_dir / "checkpoints"):
            resume_from = "auto"  # else it fell before its first save: from where it began
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    with open_world(config.train.device) as world:
        # where batches are all of one size, the fastest convolution is found by trying
        torch.backends.cudnn.benchmark = not deterministic
        tell = partial(say, console)
        found = of_main(world, lambda: find_checkpoint(work_dir, resume_from, anew, tell))
        data = config.data
        catalog = open_together(data.root, data.cache, world, simulation=data.simulation)
        setup = training_setup(config)
        if pretrained is not None or found is not None:
            # the weights come from a file: timm need not fetch any
            own = dataclasses.replace(setup.model, pretrained=False)
            setup = dataclasses.replace(setup, model=own)
        check_shared(work_dir, world)
        trainer = Trainer(catalog, setup, world, work_dir, code_versions())
        say(console, _idle(setup, world))
        _check_test_set(catalog, world, console)
        _say_what_is_left_out(trainer, catalog, console)
        say(console, trainer.broken.opening())
        if found is not None:
            _resume(trainer, config, read_together(found, world), console)
        elif pretrained is not None:
            say(console, trainer.load_pretrained(pretrained))
        if world.is_main:
            if found is None:
                _clear(work_dir)
            started = {
                "weights": _begun_from(config, work_dir, found, pretrained),
                "pretrained": None if pretrained is None else str(pretrained),
                "resume_from": None if found is None else str(found),
                "deterministic": deterministic,
                "processes": world.size,
                "device": str(world.device),
                "bagreid": __version__,
                "torch": str(torch.__version__),
            }
            write_json(work_dir / "config.json", as_plain(config) | {"started": started})
        status = RunStatus(
            work_dir if world.is_main else None,
            trainer.total_steps,
            epochs=config.train.epochs,
            done_steps=trainer.step,
            phases=trainer.phases,
            processes=world.size,
        )
        with status:
            try:
                return _train_and_test(trainer, config, method, console, status, profile=profile)
            except Interrupted:
                status.end("stopped")
                raise


def _idle(setup: TrainingSetup, world: World) -> str | None:
    """What people must know of a batch that cannot be shared evenly."""
    share = idle_share(setup, world)
    if not share:
        return None
    groups = setup.plan.groups
    return (
        f"{groups} groups a batch on {world.size} processes: {share:.0%} of their time goes by "
        f"waiting for the one with most. Divisors of {groups} waste none."
    )


def _clear(work_dir: Path) -> None:
    """Removes a run that this one takes the place of, now that this one can begin."""
    for stale in ("evaluation.json", "pseudo_labels.npz", "not_finite.txt", "state.json"):
        (work_dir / stale).unlink(missing_ok=True)
    for folder in ("checkpoints", "model", "profile", "testing"):
        shutil.rmtree(work_dir / folder, ignore_errors=True)


def _check_test_set(catalog: Catalog, world: World, console: Console) -> None:
    """Finds out before training, not after it, that there is nothing to test on."""
    if catalog.test_protocol().queries:
        catalog.check_test_protocol()
    elif world.is_main:
        console.print(
            "The archive has no query images: nothing is evaluated.",
            highlight=False,
            soft_wrap=True,
        )


def _say_what_is_left_out(trainer: Trainer, catalog: Catalog, console: Console) -> None:
    if trainer.plan.left_out and trainer.world.is_main:
        console.print(
            f"{trainer.plan.left_out} of {len(catalog.split('train'))} train images are not "
            f"trained on: they lie in no bag, or are of no identity.",
            highlight=False,
            soft_wrap=True,
        )


def _resume(trainer: Trainer, config: RunConfig, checkpoint: Checkpoint, console: Console) -> None:
    changed = check_resumable(config, checkpoint)
    trainer.restore(checkpoint)
    note = f"; changed since: {', '.join(changed)}" if changed else ""
    say(console, f"Resuming {checkpoint.path} at step {checkpoint.step:,}{note}")
    for line in other_arithmetic(checkpoint, trainer):
        say(console, line)


def _train_and_test(
    trainer: Trainer,
    config: RunConfig,
    method: str,
    console: Console,
    status: RunStatus,
    *,
    profile: bool,
) -> Outcome:
    world, catalog = trainer.world, trainer.catalog
    has_test = catalog.test_protocol().queries > 0

    def test(network: nn.Module) -> Evaluation:
        weights = of_main(world, lambda: _digest(network))
        room = trainer.work_dir / "testing" / weights[:16]
        with _room_for_features(room, world) as folder:
            return evaluate_catalog(
                network_extract(network, trainer.broken, config, world, folder, weights),
                catalog,
                method=method,
                convention=config.test.convention,
                device=world.device,
                world=world,
            )

    def validate(network: nn.Module, epoch: int) -> dict[str, float]:  # noqa: ARG001
        result = test(network).result
        return {"rank1": result.rank(1), "mean_ap": result.mean_ap}

    trained = trainer.run(validate if has_test else None, console, status=status, profile=profile)
    evaluation = None
    if has_test:
        with trainer.phases("validate"):
            evaluation = test(trained.network)
    if not world.is_main:
        return Outcome(trained, None)
    if evaluation is not None:
        write_evaluation(evaluation.record, trainer.work_dir / "evaluation.json")
        with trainer.open_log(None) as log:
            scores = {"rank1": evaluation.result.rank(1), "mean_ap": evaluation.result.mean_ap}
            log.write("validation", trainer.step, epoch=config.train.epochs - 1, **scores)
        print_result(evaluation, trained, console)
    export_run(trainer, trained, config, evaluation, method=method)
    _list_broken(trained, evaluation, catalog, console)
    say(console, trainer.broken.closing())
    return Outcome(trained, evaluation)


def _digest(network: nn.Module) -> str:
    """Tells a network from one of other weights."""
    return digest_of({name: value.cpu() for name, value in network.state_dict().items()})


def _begun_from(
    config: RunConfig, work_dir: Path, found: Path | None, pretrained: Path | None
) -> str | None:
    """What the weights were when the run began; None where a resumed run does not tell."""
    if found is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = orjson.loads((work_dir / "config.json").read_bytes())["started"]["weights"]
            return None if told is None else str(told)
        return None
    if pretrained is not None:
        return f"the weights of {pretrained.name}"
    return "timm's weights" if config.model.pretrained else "drawn at random"


@contextlib.contextmanager
def _room_for_features(folder: Path, world: World) -> Iterator[Path | None]:
    """A folder that lasts as long as the test does; after a kill the test goes on from it.

    It is that of the weights: a test that was killed may be followed by one of other weights,
    which takes the rest of it away.
    """
    yield folder
    barrier(world)
    if world.is_main:
        shutil.rmtree(folder.parent, ignore_errors=True)


def print_result(evaluation: Evaluation, trained: TrainingResult, console: Console) -> None:
    """One line that says how good the run is."""
    result = evaluation.result
    low, high = result.rank1_interval
    text = (
        f"rank-1 {result.rank(1):.1%} ({low:.1%} to {high:.1%})  rank-5 {result.rank(5):.1%}  "
        f"rank-10 {result.rank(10):.1%}  mAP {result.mean_ap:.1%}  ({result.convention} convention)"
    )
    if trained.pseudo_label_accuracy is not None:
        text += f"  pseudo labels right {trained.pseudo_label_accuracy:.1%}"
    console.print(text, highlight=False, soft_wrap=True)


def say(console: Console, line: str | None) -> None:
    """Prints a line, where there is one, as it is."""
    if line is not None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _list_broken(
    trained: TrainingResult, evaluation: Evaluation | None, catalog: Catalog, console: Console
) -> None:
    """Says which images could not be decoded, and what was done instead."""
    if trained.replaced:
        times = sum(trained.replaced.values())
        console.print(
            f"{len(trained.replaced)} broken train images were replaced by others of their bags, "
            f"{times} times in all:",
            highlight=False,
            soft_wrap=True,
        )
        for row in sorted(trained.replaced)[:20]:
            console.print(f"  {catalog.name(row)}", markup=False, soft_wrap=True)
        if len(trained.replaced) > 20:
            console.print(f"  and {len(trained.replaced) - 20} more")
    if evaluation is not None and evaluation.broken:
        console.print(
            f"{len(evaluation.broken)} broken test images were scored last:",
            highlight=False,
            soft_wrap=True,
        )
        for row in evaluation.broken[:20]:
            console.print(f"  {catalog.name(row)}", markup=False, soft_wrap=True)
        say(console, evaluation.caution())
