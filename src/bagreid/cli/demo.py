"""``bagreid demo``: the whole job in one go, ending in something to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bagreid.cli.parsing import parse_options
from bagreid.contracts import BagreidError, QuarantineChoice

if TYPE_CHECKING:
    from bagreid.catalog import Catalog
    from bagreid.comparing import Row
    from bagreid.recipes import RunConfig

DESCRIPTION = """Trains a network from bag labels alone and shows how well it finds people.

Without --root it first makes a synthetic archive. It trains DGL from the bags and, for comparison,
the same network from image-level truth (the ceiling), and sets both beside a colour histogram and
the untrained network: one table, one report."""

SHOWN_IMAGES = 57_000
"""About how many images a demo run shows the network, over all epochs."""
MOST_IMAGES = 100_000
"""Train images beyond which an archive is no demo."""


@dataclass(frozen=True, kw_only=True)
class DemoArgs:
    """What `bagreid demo` takes."""

    root: Path | None = None
    """An archive of yours in a released layout, instead of a synthetic one; truth.csv in it is
    used to measure, and to train the ceiling."""
    work_dir: Path = Path("work_dirs/demo")
    """Where results go."""
    epochs: int | None = None
    """Epochs of each training; by default as many as show about 57,000 images."""
    seed: int = 0
    """Determines everything random."""
    quarantine: QuarantineChoice = "auto"
    """The list of images known to be broken, which are not read; others found broken are added.
    auto: the one beside the catalog; off: none; or a file of yours."""

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Makes or opens an archive, trains, tests, compares, reports."""
    args = parse_options(DemoArgs, argv, prog=prog, description=DESCRIPTION)
    from bagreid.catalog import open_catalog
    from bagreid.comparing import comparison_table, folder_purity, write_comparison
    from bagreid.report import write_report

    console = Console()
    root = args.root or _synthetic(args, console)
    catalog = open_catalog(root)
    catalog.check_test_protocol()
    config = _configure(args, root, catalog)
    purity = folder_purity(catalog)
    console.print(
        f"{len(catalog.split('train')):,} train images of {len(catalog.identities)} people in "
        f"{len(catalog.folder_start)} folders and {len(catalog.bags.bag_id)} bags"
        + ("" if purity is None else f"; folders are {purity:.0%} pure"),
        highlight=False,
    )
    rows = _compare(config, catalog, args.work_dir, console)
    title = "bagreid demo" if args.root is None else f"bagreid demo on {root.name}"
    write_comparison(rows, args.work_dir, catalog.root, title)
    console.print(comparison_table(rows))
    report = write_report(args.work_dir)
    console.print(report.headline, highlight=False, soft_wrap=True)
    console.print(f"Look at it: {report.path}", highlight=False, soft_wrap=True)
    return 0


def _synthetic(args: DemoArgs, console: Console) -> Path:
    from bagreid.cli.synth import main as synth

    root = args.work_dir / f"archive-seed{args.seed}"
    if not root.exists():
        console.print("[bold]Making a synthetic archive[/bold]")
        synth([str(root), "--seed", str(args.seed)], prog="bagreid synth")
    return root


def _configure(args: DemoArgs, root: Path, catalog: Catalog) -> RunConfig:
    """The demo's recipe, fitted to the archive's size and kind of bags."""
    from bagreid.recipes import DataConfig, demo
    from bagreid.training.setup import make_plan

    images = len(catalog.split("train"))
    if images > MOST_IMAGES:
        raise BagreidError(
            f"{images:,} train images are too many for a demo",
            path=root,
            remedy=f"Train on it by: bagreid train configs/dgl/r50_sysu30k.py --data.root {root}",
        )
    base = demo()
    plan = base.plan
    try:
        make_plan(catalog, plan, args.seed)
    except BagreidError:  # its bags are not windows of neighbouring folders
        plan = dataclasses.replace(plan, kind="bag_file")
    epochs = args.epochs or max(1, round(SHOWN_IMAGES / max(images, 1)))
    return dataclasses.replace(
        base,
        data=DataConfig(root=root, quarantine=args.quarantine),
        plan=plan,
        train=dataclasses.replace(base.train, epochs=epochs, seed=args.seed),
    )


def _compare(config: RunConfig, catalog: Catalog, work_dir: Path, console: Console) -> list[Row]:
    from bagreid.comparing import histogram_row, stage, trained_row, untrained_row
    from bagreid.data.quarantine import BrokenImages
    from bagreid.experiment import say
    from bagreid.recipes import with_method

    work_dir.mkdir(parents=True, exist_ok=True)
    with stage(console, "1  The colour histogram and the untrained network"):
        known = BrokenImages.open(catalog, config.data.quarantine, "demo")
        weak = [histogram_row(known, work_dir, config)]
        weak.append(untrained_row(known, work_dir, config))
        say(console, known.closing())
    with stage(console, "2  DGL from bag labels"):
        ours = trained_row(config, work_dir, console, "dgl", "DGL (ours)", "bag labels")
    rows = [ours]
    if (catalog.truth() >= 0).any():
        with stage(console, "3  The same network from image-level truth: the ceiling"):
            truth = with_method(config, "truth")
            rows.append(trained_row(truth, work_dir, console, "truth", "ceiling", "every label"))
    else:
        console.print("The archive has no truth.csv, so there is no ceiling to compare with.")
    return rows + weak
