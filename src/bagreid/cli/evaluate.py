"""``bagreid evaluate``: ranks the gallery for every query and prints rank-k and mAP."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from bagreid.cli.parsing import parse_options
from bagreid.contracts import BagreidError, Convention, QuarantineChoice

if TYPE_CHECKING:
    from rich.console import Console

    from bagreid.catalog import Catalog
    from bagreid.evaluation import Evaluation, RankingResult
    from bagreid.evaluation.reranking import Reranker, Stage
    from bagreid.world import World

DESCRIPTION = """Ranks the gallery for every query, exactly, and prints rank-k and mAP.

A run: bagreid evaluate WORK_DIR

A checkpoint: bagreid evaluate --checkpoint FILE.pt --root ARCHIVE

What bagreid extract wrote to OUT: bagreid evaluate --features OUT

Your own method, in one file: bagreid evaluate --features mine.npz (arrays query_feature, query_pid,
query_camid and the same of gallery_), or mine.parquet (columns feature, pid, camid, split)

In two files, identities and cameras read from file names (0002_c1s1_000451_03.jpg):
bagreid evaluate --features query.npy gallery.npy --names query.txt gallery.txt

In a folder of query.npy, query_pid.npy, query_camid.npy and the same of gallery:
bagreid evaluate --features FOLDER

All formats and rules: docs/own_features.md"""

MEANING = {
    "sysu30k": "shares of all queries, trapezoidal average precision",
    "standard": "shares of the queries with a match, step average precision",
}

TIES = {
    "pessimistic": "they count as ahead",
    "optimistic": "they count as behind",
    "mean": "every order of them counts as likely",
}


@dataclass(frozen=True, kw_only=True)
class EvaluateArgs:
    """What ``bagreid evaluate`` is asked."""

    work_dir: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[WORK_DIR]")] = (
        None
    )
    """A run: its newest checkpoint is evaluated on its archive, and its evaluation.json written."""

    checkpoint: Path | None = None
    """The network: a checkpoint of bagreid train, or a released one."""

    root: Path | None = None
    """The archive; needed beside a checkpoint, and in place of the one a run was trained on."""

    features: tuple[Path, ...] = ()
    """Features instead of a checkpoint: an .npz, a Parquet file or a folder of both sides, or two
    files (.npy, .npz, .parquet): of the queries, then of the gallery."""

    names: tuple[Path, ...] = ()
    """Beside --features: two files that tell of the queries, then of the gallery, in the order of
    the features, the file names (.txt, one a line) or pid and camid or name (.csv)."""

    name_pattern: str | None = None
    """How file names tell identity and camera: market1501, dukemtmc, cuhk03-np, sysu30k, msmt17 or
    a regular expression with the groups pid and camid; without it PID_cCAMERA, −1 junk, 0000 a
    distractor."""

    ignore_cameras: bool = False
    """Beside --features: keep pairs of the same identity and camera, which otherwise are left out
    of the ranking; the result says so."""

    convention: Convention | None = None
    """sysu30k: shares of all queries, trapezoidal AP, as the released script; standard: shares of
    the queries with a match, step AP, as the Market-1501 tools. Without it sysu30k, but standard
    for a set in the published layout of Market-1501, DukeMTMC-reID, MSMT17 or CUHK03."""

    rerank: bool = False
    """Also re-rank by k-reciprocal neighbours (Zhong et al. 2017), from the features of queries and
    gallery together; the plain result is printed and kept beside it. For SYSU-30k that takes
    hours on a processor; with --keep it goes on after an interruption."""

    rerank_k1: int = 20
    """Beside --rerank: how many nearest neighbours may be k-reciprocal ones."""

    rerank_k2: int = 6
    """Beside --rerank: over how many nearest images an image's neighbourhood is averaged."""

    rerank_lambda: float = 0.3
    """Beside --rerank: the share of the original distance in the final one, 0 to 1."""

    ties: Literal["pessimistic", "optimistic", "mean"] = "pessimistic"
    """Where a match stands among wrong answers that score exactly the same: behind them, ahead of
    them, or anywhere, each order as likely (all shares are then expectations)."""

    json: Path | None = None
    """Also write everything, the ranked lists included, to this file."""

    method: str | None = None
    """What to call the method in the result; otherwise named after its file."""

    keep: Path | None = None
    """Keep a checkpoint's features in this folder, memory-mapped, and go on from them after an
    interruption; otherwise they are held in memory, which for SYSU-30k takes 4 GB."""

    cache: Path | None = None
    """Folder for catalogs; without it $BAGREID_CACHE, or ~/.cache/bagreid."""

    quarantine: QuarantineChoice = "auto"
    """The list of images known to be broken, which are not read; others found broken are added.
    auto: the one beside the catalog; off: none; or a file of yours."""

    feature: Literal["backbone", "logits"] | None = None
    """What is compared: the embedding, or all class logits (exactly, in far fewer dimensions);
    by default what the checkpoint's run or its release compares. logits of features that bagreid
    extract wrote: --features OUT --checkpoint FILE --feature logits."""

    dtype: Literal["float32", "float16", "bfloat16", "float64"] | None = None
    """Type of the kept features; by default float32, and float64 for logits, whose ranking is then
    that of the explicit ones."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """What the network computes in; the 16-bit types are several times faster on GPUs, and bf16
    on processors that have it."""

    batch_size: int = 128
    """Images at a time."""

    workers: int = 1
    """Processes that decode while the network computes; 0: the one that computes does."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        defaults = (20, 6, 0.3)
        if not self.rerank and (self.rerank_k1, self.rerank_k2, self.rerank_lambda) != defaults:
            raise ValueError("--rerank-k1, --rerank-k2 and --rerank-lambda go with --rerank")
        if min(self.rerank_k1, self.rerank_k2) < 1 or not 0.0 <= self.rerank_lambda <= 1.0:
            raise ValueError("--rerank-k1 and --rerank-k2 are at least 1, --rerank-lambda 0 to 1")
        if self.batch_size < 1 or self.workers < 0:
            raise ValueError("batch_size must be at least 1, workers at least 0")
        given = [self.work_dir is not None, self.checkpoint is not None, bool(self.features)]
        projects = bool(self.features) and self.checkpoint is not None and self.feature == "logits"
        if sum(given) != 1 and not (projects and self.work_dir is None):
            raise ValueError("give one of WORK_DIR, --checkpoint and --features")
        if not self.features and (self.names or self.name_pattern or self.ignore_cameras):
            raise ValueError("--names, --name-pattern and --ignore-cameras go with --features")
        if self.checkpoint is not None and self.root is None and not self.features:
            raise ValueError("--checkpoint needs --root, the archive to test on")


def main(argv: Sequence[str], *, prog: str) -> int:
    """Parses, evaluates, prints, and writes the JSON that is wanted.

    Args:
        argv: Arguments behind the verb.
        prog: How the program is called in messages.

    Returns:
        The exit code: 3 where it was stopped, and goes on if it is started again.
    """
    args = parse_options(EvaluateArgs, argv, prog=prog, description=DESCRIPTION)
    from rich.console import Console

    from bagreid.cli.inference import STOPPED, joined

    with joined(args.device, prog) as world:
        console = Console(highlight=False, quiet=not world.is_main)
        try:
            of = _of_features if args.features else _of_network
            evaluation = of(args, console, world)
        except KeyboardInterrupt:
            if args.keep is None:
                raise
            if world.is_main:
                line = "stopped; all whole batches are kept, and the same command goes on"
                print(f"{prog}: {line}", file=sys.stderr, flush=True)
            return STOPPED
        if world.is_main:
            _tell(args, console, evaluation)
    return 0


def _stages(world: World) -> Stage:
    """A line of progress for each stage of the ranking."""
    from bagreid.cli.inference import progress_line

    return lambda name: progress_line(name, "images", shown=world.is_main)


def _reranker(args: EvaluateArgs) -> Reranker | None:
    from bagreid.evaluation.reranking import Reranker, Reranking

    if not args.rerank:
        return None
    config = Reranking(k1=args.rerank_k1, k2=args.rerank_k2, original_weight=args.rerank_lambda)
    return Reranker(config=config, keep=None if args.keep is None else args.keep / "neighbours")


def _tell(args: EvaluateArgs, console: Console, evaluation: Evaluation) -> None:
    """Prints the result, and writes it."""
    from bagreid.evaluation import write_evaluation

    before = evaluation.before
    if before is None:
        print_result(console, evaluation.result, ignored_cameras=args.ignore_cameras)
    else:
        print_result(console, before, ignored_cameras=args.ignore_cameras)
        console.print(
            f"Re-ranked by k-reciprocal neighbours (k1 = {args.rerank_k1}, k2 = {args.rerank_k2}, "
            f"λ = {args.rerank_lambda:g}), which look at all queries and the whole gallery:",
            soft_wrap=True,
        )
        _print_ties(console, evaluation.result)
        _print_shares(console, evaluation.result)
    if (caution := evaluation.caution()) is not None:
        console.print(f"[yellow]{caution}[/]", soft_wrap=True)
    target = args.json
    if target is None and args.work_dir is not None:
        target = args.work_dir / "evaluation.json"
    if target is not None:
        write_evaluation(evaluation.record, target)
        console.print(f"[dim]written: {target}[/]", soft_wrap=True)


def _of_features(args: EvaluateArgs, console: Console, world: World) -> Evaluation:
    from bagreid.cli.inference import projected_in
    from bagreid.data.opening import open_together
    from bagreid.evaluation import evaluate_features, load_features
    from bagreid.world import on_all

    loaded = on_all(
        world,
        lambda: load_features(
            *args.features,
            names=args.names,
            name_pattern=args.name_pattern,
            ignore_cameras=args.ignore_cameras,
            cache=args.cache,
        ),
    )
    query, gallery = loaded
    root = args.root or query.root
    known = query.rows is not None and root is not None and (args.root or root.exists())
    catalog: Catalog | None = None
    if root is not None and known:
        catalog = open_together(root, args.cache, world)
    with ExitStack() as held:
        if args.checkpoint is not None:
            query, gallery = held.enter_context(
                projected_in(args.keep, args.features[0], args.checkpoint, (query, gallery), world)
            )
        evaluation = evaluate_features(
            query,
            gallery,
            method=args.method or args.features[0].stem,
            convention=_convention(args, catalog),
            ties=args.ties,
            catalog=catalog,
            ignore_cameras=args.ignore_cameras,
            device=world.device,
            world=world,
            reranker=_reranker(args),
            stage=_stages(world),
        )
    loaded.annotate(evaluation.record)
    for note in loaded.facts.notes():
        console.print(note, markup=False, soft_wrap=True)
    return evaluation


def _of_network(args: EvaluateArgs, console: Console, world: World) -> Evaluation:
    from bagreid.cli.inference import kept_in, network_extractor, say_broken
    from bagreid.data.opening import open_together
    from bagreid.evaluation import evaluate_catalog
    from bagreid.world import on_all

    checkpoint, root = on_all(world, lambda: _checkpoint_and_root(args))
    catalog = open_together(root, args.cache, world, test=True)
    with (
        kept_in(args.keep, world) as keep,
        network_extractor(
            checkpoint, catalog, args, keep=keep, verb="evaluate", world=world
        ) as extract,
    ):
        evaluation = evaluate_catalog(
            extract,
            catalog,
            method=args.method or _name_of(args, checkpoint),
            convention=_convention(args, catalog),
            ties=args.ties,
            device=world.device,
            world=world,
            reranker=_reranker(args),
            stage=_stages(world),
        )
    say_broken(console, catalog, evaluation.broken)
    return evaluation


def _convention(args: EvaluateArgs, catalog: Catalog | None) -> Convention:
    labelled = catalog is not None and catalog.labelled is not None
    return args.convention or ("standard" if labelled else "sysu30k")


def _checkpoint_and_root(args: EvaluateArgs) -> tuple[Path, Path]:
    if args.checkpoint is not None and args.root is not None:
        return args.checkpoint, args.root
    assert args.work_dir is not None
    from bagreid.training.checkpoint import read_checkpoint

    newest = read_checkpoint(args.work_dir)
    trained_on = newest.config.get("data", {}).get("root")
    root = args.root or (None if trained_on is None else Path(trained_on))
    if root is None:
        raise BagreidError(
            "the checkpoint does not say what archive it was trained on",
            path=newest.path,
            remedy="Name one with --root",
        )
    return newest.path, root


def _name_of(args: EvaluateArgs, checkpoint: Path) -> str:
    return args.work_dir.resolve().name if args.work_dir is not None else checkpoint.stem


def print_result(console: Console, result: RankingResult, *, ignored_cameras: bool = False) -> None:
    """Prints the convention, the counts, rank-1, 5 and 10 with their intervals, mAP and mINP."""
    counts = result.counts
    console.print(f"Convention {result.convention}: {MEANING[result.convention]}.")
    console.print(
        f"{counts.queries:,} queries against {counts.gallery:,} gallery images: "
        f"{counts.matches:,} matches, {counts.distractors:,} distractors; left out: "
        f"{counts.junk:,} junk images, {counts.same_camera:,} pairs of the same camera.",
        soft_wrap=True,
    )
    if ignored_cameras:
        console.print("Cameras are ignored: pairs of the same identity and camera are ranked.")
    if counts.queries_without_match:
        console.print(f"{counts.queries_without_match:,} queries have no match in the gallery.")
    if counts.queries_lost_to_cameras:
        console.print(
            f"{counts.queries_lost_to_cameras:,} of them would have one, but by their own camera.",
            soft_wrap=True,
        )
    _print_ties(console, result)
    _print_shares(console, result)


def _print_ties(console: Console, result: RankingResult) -> None:
    if result.counts.ties:
        console.print(
            f"{result.counts.ties:,} wrong answers score exactly as a match does; "
            f"{TIES[result.ties]}."
        )


def _print_shares(console: Console, result: RankingResult) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("")
    for name in ("rank-1", "rank-5", "rank-10", "mAP", "mINP"):
        table.add_column(name, justify="right")
    ranks = [f"{result.rank(k):.1%}" for k in (1, 5, 10)]
    ends = [f"{low:.1%} – {high:.1%}" for low, high in map(result.interval, (1, 5, 10))]
    table.add_row("share", *ranks, f"{result.mean_ap:.2%}", f"{result.mean_inp:.2%}")
    table.add_row("95 % interval", *ends)
    console.print(table)
