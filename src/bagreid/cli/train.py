"""``bagreid train CONFIG``: trains a network from a configuration file."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import runpy
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import tyro
from rich.console import Console

from bagreid.cli.parsing import parse_options
from bagreid.contracts import BagreidError
from bagreid.recipes import RunConfig

DESCRIPTION = """Trains a network and evaluates it.

CONFIG is a Python file that binds `config` to a bagreid.recipes.RunConfig; see configs/. Its
options can be overridden one by one: --train.epochs 3 --data.root /path/to/SYSU-30k-released.
Logs, checkpoints and results go to work_dirs/<CONFIG without configs/ and .py>/.

To resume is to go on with the same run after a stop or a crash, as if nothing had happened
(--resume-from). To fine-tune is to begin another run from weights that exist (--pretrained).

Exit codes: 0 done, 2 an error (the state is saved where it was sound), 3 stopped by Ctrl-C or
SIGTERM and saved, 4 a process hung. SIGUSR1 saves and goes on."""


@dataclass(frozen=True, kw_only=True)
class TrainArgs:
    """What `bagreid train` takes beside the run's own options."""

    config: tyro.conf.Positional[Path]
    """The configuration file."""
    resume_from: Literal["auto"] | Path | None = None
    """Go on with a run, exactly: auto, from the newest whole checkpoint of its work dir, or begin
    where there is none; or from this checkpoint or work dir."""
    pretrained: Path | None = None
    """Fine-tune: start a new run from the weights of this file, as far as they fit."""
    anew: bool = False
    """Replace a run that the work dir holds already, which is otherwise refused."""
    supervision: Literal["bag", "truth"] | None = None
    """Train from bag labels, or the same run from every image's true label: its ceiling. Short
    for --supervision.source."""
    deterministic: bool = False
    """Use only algorithms that give the same bits every time, also on GPUs."""
    profile: bool = False
    """Write down where the time of ten steps goes: a table, and a trace for Perfetto or Chrome."""
    work_dir: Path | None = None
    """Where results go, instead of the place that follows from CONFIG."""
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def load_config(path: Path) -> RunConfig:
    """Runs a configuration file and takes its ``config``.

    Raises:
        BagreidError: There is no such file, it fails, or it binds no `RunConfig`.
    """
    if not path.is_file():
        raise BagreidError("there is no such configuration", path=path, remedy="See configs/")
    try:
        found = runpy.run_path(str(path)).get("config")
    except (Exception, SystemExit) as error:
        raise _explain(error, path) from error
    if not isinstance(found, RunConfig):
        raise BagreidError(
            "the configuration binds no `config` of type RunConfig",
            path=path,
            remedy="Write config = some_recipe(), as the files in configs/ do",
        )
    return found


def _explain(error: BaseException, path: Path) -> BagreidError:
    """Names the line of a configuration that failed, and the option it may have meant."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    position = f"line {lines[-1]}" if lines else None
    unknown = _UNKNOWN.search(str(error)) if isinstance(error, TypeError) else None
    if unknown is None:
        said = " ".join(str(error).split())  # on one line, whatever the configuration says
        message = f"the configuration fails: {type(error).__name__}: {said}"
        return BagreidError(message, path=path, position=position)
    part, name = unknown.groups()
    known = [field.name for field in dataclasses.fields(_PARTS[part])] if part in _PARTS else []
    near = difflib.get_close_matches(name, known, n=1)
    listed = f"Its options are {', '.join(known)}" if known else "See bagreid train --help"
    return BagreidError(
        f"{part} has no option '{name}'",
        path=path,
        position=position,
        remedy=f"Did you mean '{near[0]}'?" if near else listed,
    )


def _parts(form: type) -> dict[str, type]:
    """A dataclass and all those nested in it, by name."""
    found = {form.__name__: form}
    for kind in get_type_hints(form).values():
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found |= _parts(kind)
    return found


_PARTS = _parts(RunConfig)
_UNKNOWN = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")


def default_work_dir(config: Path) -> Path:
    """``configs/dgl/r50.py`` → ``work_dirs/dgl/r50``."""
    parts = list(config.with_suffix("").parts)
    start = len(parts) - parts[::-1].index("configs") if "configs" in parts else len(parts) - 1
    return Path("work_dirs", *parts[start:])


def parse(argv: Sequence[str], prog: str) -> TrainArgs:
    """Parses the command line; the file that it names gives the options' defaults."""
    leading = [Path(word) for word in argv[:1] if not word.startswith("-")]
    scripts = [Path(word) for word in argv if word.endswith(".py")]
    named = next(iter(leading or scripts), None)
    run = RunConfig() if named is None else load_config(named)
    # no default for config itself: tyro asks for it where it is missing
    args = parse_options(
        TrainArgs,
        argv,
        prog=prog,
        description=DESCRIPTION,
        default=TrainArgs(config=tyro.MISSING, run=run),
        config=(tyro.conf.AvoidSubcommands,),
    )
    if args.config != named:
        raise BagreidError(
            f"options stand before the configuration {args.config}",
            remedy="Name the configuration first, then the options that change it",
        )
    return args


def _told(args: TrainArgs) -> RunConfig:
    """The run, under the supervision that was asked for."""
    if args.supervision is None:
        return args.run
    supervision = dataclasses.replace(args.run.supervision, source=args.supervision)
    return dataclasses.replace(args.run, supervision=supervision)


def main(argv: Sequence[str], *, prog: str) -> int:
    """Trains; 0 when finished, 3 when stopped by a signal (and resumable)."""
    args = parse(argv, prog)
    if args.resume_from not in (None, "auto") and args.pretrained:
        raise BagreidError(
            "--resume-from continues a run, --pretrained starts a new one: give one of them"
        )
    if args.resume_from is not None and args.anew:
        raise BagreidError("--resume-from continues a run, --anew replaces it: give one of them")
    from bagreid.experiment import run_training
    from bagreid.training.loop import Interrupted

    work_dir = args.work_dir or default_work_dir(args.config)
    console = Console(quiet=os.environ.get("RANK", "0") != "0")  # of many processes one speaks
    try:
        run_training(
            _told(args),
            work_dir,
            console,
            resume_from=args.resume_from,
            pretrained=args.pretrained,
            anew=args.anew,
            deterministic=args.deterministic,
            profile=args.profile,
        )
    except Interrupted as stop:
        console.print(
            f"Stopped and saved {stop.checkpoint}. Go on with the same command and "
            "--resume-from auto",
            highlight=False,
            soft_wrap=True,
        )
        return 3
    console.print(f"See the run: bagreid report {work_dir}", highlight=False, soft_wrap=True)
    return 0
