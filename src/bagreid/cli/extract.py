"""``bagreid extract OUT``: writes the features of an archive's test images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.contracts import QuarantineChoice, Split

if TYPE_CHECKING:
    from bagreid.world import World

DESCRIPTION = """Writes the flip-summed, L2-normalised features of an archive's test images.

Stopped in whatever way, the same command goes on from the last whole batch. On many GPUs or
machines: torchrun --nproc-per-node 8 -m bagreid extract OUT …; each process writes its own shard,
the order of the images and the features are the same."""


@dataclass(frozen=True, kw_only=True)
class ExtractArgs:
    """What ``bagreid extract`` is asked."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder for the features: OUT/query and OUT/gallery, each with features-….npy (images ×
    dimensions, one file a process), rows.npy, pids.npy, camids.npy, norms.npy and meta.json."""

    checkpoint: Path
    """The network: a checkpoint of bagreid train, or a released one."""

    root: Path
    """The archive."""

    cache: Path | None = None
    """Folder for catalogs; without it $BAGREID_CACHE, or ~/.cache/bagreid."""

    quarantine: QuarantineChoice = "auto"
    """The list of images known to be broken, which are not read; others found broken are added.
    auto: the one beside the catalog; off: none; or a file of yours."""

    feature: Literal["backbone", "logits"] | None = None
    """What is compared: the embedding, or all class logits (exactly, in far fewer dimensions);
    by default what the checkpoint's run or its release compares."""

    dtype: Literal["float32", "float16", "bfloat16", "float64"] | None = None
    """Type of the stored features; by default float32, and float64 for logits, whose ranking is
    then that of the explicit ones."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """What the network computes in; the 16-bit types are several times faster on GPUs, and bf16
    on processors that have it."""

    batch_size: int = 128
    """Images at a time."""

    workers: int = 1
    """Processes that decode while the network computes; 0: the one that computes does."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network computes; auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise ValueError("batch_size must be at least 1, workers at least 0")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, extracts, and says where the features are.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code: 3 where it was stopped, and goes on if it is started again.
    """
    args = parse_options(ExtractArgs, argv, prog=prog, description=DESCRIPTION)
    from bagreid.cli.inference import STOPPED, joined

    with joined(args.device, prog) as world:
        try:
            _extract(args, world)
        except KeyboardInterrupt:
            if world.is_main:
                line = "stopped; all whole batches are kept, and the same command goes on"
                print(f"{prog}: {line}", file=sys.stderr, flush=True)
            return STOPPED
    return 0


def _extract(args: ExtractArgs, world: World) -> None:
    from rich.console import Console

    from bagreid.cli.inference import network_extractor, say_broken
    from bagreid.data.opening import open_together

    console = Console(highlight=False, quiet=not world.is_main)
    catalog = open_together(args.root, args.cache, world, test=True)
    with network_extractor(
        args.checkpoint, catalog, args, keep=args.out, verb="extract", world=world
    ) as extract:
        sides: tuple[Split, Split] = ("query", "gallery")
        for side in sides:
            images = extract(catalog.split(side))
            shape = " × ".join(f"{length:,}" for length in images.features.shape)
            console.print(f"{side}: {shape} in {args.out / side}", soft_wrap=True)
            say_broken(console, catalog, images.broken)
    console.print(f"Next: bagreid evaluate --features {args.out}", style="bold", soft_wrap=True)
