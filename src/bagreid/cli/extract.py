"""``bagreid extract OUT``: writes the features of an archive's test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.contracts import QuarantineChoice, Split


@dataclass(frozen=True, kw_only=True)
class ExtractArgs:
    """What ``bagreid extract`` is asked."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder for the features: OUT/query and OUT/gallery, each with features.npy (images ×
    dimensions, float32), rows.npy, pids.npy, camids.npy and meta.json."""

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

    batch_size: int = 128
    """Images at a time."""

    workers: int = 1
    """Processes that decode; 0: the one that computes does."""

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
        The exit code.
    """
    args = parse_options(
        ExtractArgs,
        argv,
        prog=prog,
        description="Writes the flip-summed, L2-normalised features of an archive's test images.",
    )
    from rich.console import Console

    from bagreid.catalog import open_catalog
    from bagreid.cli.inference import network_extractor, say_broken

    console = Console(highlight=False)
    catalog = open_catalog(args.root, cache=args.cache)
    catalog.check_test_protocol()
    with network_extractor(
        args.checkpoint, catalog, args, keep=args.out, verb="extract"
    ) as extract:
        sides: tuple[Split, Split] = ("query", "gallery")
        for side in sides:
            images = extract(catalog.split(side))
            shape = " × ".join(f"{length:,}" for length in images.features.shape)
            console.print(f"{side}: {shape} in {args.out / side}", soft_wrap=True)
            say_broken(console, catalog, images.broken)
    console.print(f"Next: bagreid evaluate --features {args.out}", style="bold", soft_wrap=True)
    return 0
