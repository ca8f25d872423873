"""Fuzzes all targets for a bounded time, one after another, and sums up in a table.

`FUZZ_SECONDS` is the time a target (60); names of targets on the command line take only those.
Inputs that reached something new are kept in `work_dirs/fuzz/NAME/corpus` and begun with the next
time; inputs that are findings in `work_dirs/fuzz/NAME/findings`. The exit status is 1 after any.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fuzz_target import FINDINGS, NAMES
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
WORK = HERE.parents[1] / "work_dirs" / "fuzz"

LIMITS = ("-timeout=25", "-rss_limit_mb=2048", "-malloc_limit_mb=1024")
"""Seconds and megabytes that one input may take; more is a finding."""


RUNS = 20_000
"""Executions a process, for atheris itself leaks every input it mutates."""


@dataclass(frozen=True)
class Outcome:
    """What fuzzing one target came to.

    Attributes:
        name: The target.
        seconds: How long it took.
        executions: Inputs tried.
        edges: Jumps in bagreid's code that were taken, as atheris counts them.
        corpus: Inputs kept because they reached something new.
        lines: Lines of the parser that the corpus reaches, of how many.
        memory: Most megabytes that the process took.
        findings: Inputs that failed.
        failed: Whether anything did.
    """

    name: str
    seconds: float
    executions: int
    edges: int
    corpus: int
    lines: str
    memory: int
    findings: tuple[Path, ...]
    failed: bool


def main() -> int:
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    chosen = sys.argv[1:] or list(NAMES)
    if unknown := set(chosen) - set(NAMES):
        sys.exit(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    console = Console()
    outcomes = []
    for name in chosen:
        console.print(f"fuzzing [bold]{name}[/] for {seconds} s ...")
        outcomes.append(fuzz(name, seconds))
    console.print(table_of(outcomes))
    for outcome in outcomes:
        for path in outcome.findings:
            console.print(f"finding: {path}", style="red", soft_wrap=True)
        if outcome.failed:
            console.print(f"the end of {WORK / outcome.name / 'log.txt'}:", style="red")
            console.print(log_of(outcome.name)[-3000:], markup=False)
    return int(any(outcome.failed for outcome in outcomes))


def fuzz(name: str, seconds: int) -> Outcome:
    """Runs one target, in process after process, until the time is over or one fails."""
    corpus, findings, log = (WORK / name / part for part in ("corpus", "findings", "log.txt"))
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    before = set(findings.iterdir())
    start, status, left = time.monotonic(), 0, float(seconds)
    with tempfile.TemporaryDirectory() as seeds:
        folders = [corpus, Path(seeds), *filter(Path.is_dir, [FINDINGS / name])]
        while not status and left >= 1:
            command = [
                sys.executable, str(HERE / "fuzz_one.py"), name, *map(str, folders), *LIMITS,
                f"-runs={RUNS}", f"-max_total_time={left:.0f}", "-print_final_stats=1",
                f"-artifact_prefix={findings}/",
            ]  # fmt: skip
            environment = {**os.environ, "FUZZ_SEEDS": seeds, "OMP_NUM_THREADS": "1"}
            with log.open("ab") as out:
                status = subprocess.run(
                    command, stdout=out, stderr=out, env=environment, check=False
                ).returncode
            left = seconds - (time.monotonic() - start)
        took = time.monotonic() - start
        lines = lines_of(name, folders)
    said = log_of(name)
    return Outcome(
        name=name,
        seconds=took,
        executions=sum(numbers(r"stat::number_of_executed_units:\s*(\d+)", said)),
        edges=max(numbers(r"cov: (\d+)", said)),
        corpus=numbers(r"corp: (\d+)", said)[-1],
        lines=lines,
        memory=max(numbers(r"stat::peak_rss_mb:\s*(\d+)", said)),
        findings=tuple(sorted(set(findings.iterdir()) - before)),
        failed=status != 0,
    )


def lines_of(name: str, folders: list[Path]) -> str:
    """Which share of the parser's lines the corpus reaches."""
    command = [sys.executable, str(HERE / "fuzz_lines.py"), name, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else "?"


def log_of(name: str) -> str:
    return (WORK / name / "log.txt").read_text(errors="replace")


def numbers(pattern: str, said: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, said)] or [0]


def table_of(outcomes: list[Outcome]) -> Table:
    table = Table(title="Fuzzing")
    for heading in ("target", "s", "executions", "1/s", "edges", "lines", "corpus", "MB",
                    "findings"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "target" else "right")
    for outcome in outcomes:
        table.add_row(
            outcome.name,
            f"{outcome.seconds:.0f}",
            f"{outcome.executions:,}",
            f"{outcome.executions / outcome.seconds:,.0f}",
            f"{outcome.edges:,}",
            outcome.lines,
            f"{outcome.corpus:,}",
            f"{outcome.memory:,}",
            str(len(outcome.findings) or ("failed" if outcome.failed else 0)),
            style="red" if outcome.failed else None,
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
