"""How much of the ceiling each weak supervision reaches: several seeds, the same queries.

For every seed an archive is drawn (folders 70 % pure) and seven networks are trained on it that
differ in their supervision only: the truth, our inference, the release's argmax and balanced
assignment, folder labels as they are, and ours without the pairwise terms and without the triplet
loss. All methods of a seed answer the same queries, so differences are tested pairwise (exact
McNemar test over all seeds' queries).

Takes a little over an hour on two cores: runs are dealt to as many processes as there are cores,
each with one thread. A run that is finished is not run again while its work dir is kept, unless
its configuration has changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import orjson
from machine import write_result
from scipy.stats import binomtest

from bagreid.data.synthetic import SyntheticConfig, write_archive
from bagreid.recipes import DataConfig, Method, as_plain, demo, with_method

METHODS: tuple[Method, ...] = get_args(Method)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/weak_supervision"))
    args = parser.parse_args()
    begun = time.monotonic()
    for seed in range(args.seeds):
        root = args.work_dir / f"archive-{seed}"
        if not root.exists():
            write_archive(root, SyntheticConfig(seed=seed), workers=args.processes)
    jobs = [(method, seed) for method in METHODS for seed in range(args.seeds)]
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(run, m, s, args.epochs, args.work_dir) for m, s in jobs]
        for number, future in enumerate(as_completed(running), 1):
            left = (time.monotonic() - begun) / number * (len(jobs) - number)
            print(f"{number}/{len(jobs)} {future.result()}  about {left:.0f} s left", flush=True)
    summary = {method: summarise(method, args.seeds, args.work_dir) for method in METHODS}
    print_table(summary)
    seconds = time.monotonic() - begun
    write_result(
        "weak_supervision",
        {"seeds": args.seeds, "epochs": args.epochs, "seconds": seconds, "methods": summary},
    )


def run(method: Method, seed: int, epochs: int, work_dir: Path) -> str:
    """One training and test in a process of its own."""
    import torch
    from rich.console import Console

    from bagreid.experiment import run_training

    torch.set_num_threads(1)
    folder = work_dir / f"{method}-{seed}"
    base = with_method(demo(), method)
    train = dataclasses.replace(base.train, epochs=epochs, seed=seed, workers=0, validate_every=0)
    data = DataConfig(root=work_dir / f"archive-{seed}")
    config = dataclasses.replace(base, train=train, data=data)
    if not is_finished(folder, as_plain(config)):
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the null device is no path of ours
            run_training(config, folder, Console(file=nowhere), method=method, anew=True)
    record = orjson.loads((folder / "evaluation.json").read_bytes())
    return f"{method} seed {seed}: rank-1 {record['cmc'][0]:.3f}"


def is_finished(folder: Path, config: dict[str, Any]) -> bool:
    """Whether a folder holds the result of just this configuration."""
    if not (folder / "evaluation.json").exists():
        return False
    stored = orjson.loads((folder / "config.json").read_bytes())
    return {name: stored.get(name) for name in config} == config


def hits(method: str, seeds: int, work_dir: Path) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each query of each seed found its match first."""
    found = []
    for seed in range(seeds):
        record = orjson.loads((work_dir / f"{method}-{seed}" / "evaluation.json").read_bytes())
        found += [query["first_match_rank"] == 0 for query in record["queries"]]
    return np.array(found)


def summarise(method: str, seeds: int, work_dir: Path) -> dict[str, Any]:
    """Means over the seeds, the share of the ceiling, and the paired test against ours."""
    folders = [work_dir / f"{method}-{seed}" for seed in range(seeds)]
    records = [orjson.loads((folder / "evaluation.json").read_bytes()) for folder in folders]
    curves = [accuracy_over_time(folder) for folder in folders]
    mine, ours = hits(method, seeds, work_dir), hits("dgl", seeds, work_dir)
    truth = hits("truth", seeds, work_dir)
    won, lost = int((ours & ~mine).sum()), int((mine & ~ours).sum())
    return {
        "rank1": [record["cmc"][0] for record in records],
        "rank1_mean": float(mine.mean()),
        "mean_ap": float(np.mean([record["mean_ap"] for record in records])),
        "share_of_truth": float(mine.mean() / truth.mean()),
        "ours_only": won,
        "this_only": lost,
        "mcnemar_p": float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
        "pseudo_label_accuracy_over_time": curves,
        "pseudo_label_accuracy": float(np.mean([c[-1] for c in curves])) if all(curves) else None,
    }


def accuracy_over_time(folder: Path) -> list[float]:
    """Pseudo-label accuracy in each tenth of the run; empty for the truth."""
    lines = [orjson.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]
    seen = [line["pseudo_label_accuracy"] for line in lines if line["kind"] == "step"]
    known = [value for value in seen if value is not None]
    return [float(np.mean(part)) for part in np.array_split(known, 10)] if known else []


def print_table(summary: Mapping[Method, dict[str, Any]]) -> None:
    """The methods side by side."""
    print(
        f"\n{'method':<17}rank-1 (each seed)       of truth    mAP  labels  ours/this only      p"
    )
    for method, row in summary.items():
        seeds = " ".join(f"{value:.3f}" for value in row["rank1"])
        accuracy = row["pseudo_label_accuracy"]
        right = "" if accuracy is None else f"{accuracy:.3f}"
        print(
            f"{method:<17}{row['rank1_mean']:.3f} ({seeds}) {row['share_of_truth']:8.2f} x "
            f"{row['mean_ap']:6.3f} {right:>7} {row['ours_only']:>8}/{row['this_only']:<6} "
            f"{row['mcnemar_p']:8.2g}"
        )


if __name__ == "__main__":
    main()
