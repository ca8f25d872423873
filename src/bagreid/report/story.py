"""How a run went: its state, what did not go smoothly, and where a step's time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bagreid.report.fields import Fields, read_json
from bagreid.report.log import Trouble
from bagreid.report.runs import Run, read_run
from bagreid.report.wording import count, duration, listed
from bagreid.report.work_dir import Method

PROFILE_SCHEMA = "bagreid.profile/1"

MOST_NAMED = 12
"""Steps that are named one by one."""

_STATES = {
    "running": "The run goes on",
    "finished": "The run is finished",
    "stopped": "The run was asked to stop",
    "killed": "The run was killed",
    "failed": "The run failed",
    "hung": "The run hung",
    "unknown": "The run left no word of how it ended",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A phase or an operator of a profile, as it is shown."""

    name: str
    calls: str
    host: str
    device: str | None
    share: float
    """Of the whole, in percent: the length of its bar."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a step's time went, as it is shown."""

    headline: str
    verdict: str
    advice: str
    phases: tuple[Row, ...]
    operators: tuple[Row, ...]
    on_gpu: bool


@dataclass(frozen=True, slots=True)
class Story:
    """How a run went, as it is shown.

    Attributes:
        state: A sentence.
        resume: The command that goes on with it, where one does.
        facts: Heading, value and remark of what is known.
        trouble: Sentences about what did not go smoothly.
        profile: Where a step's time went.
    """

    state: str
    resume: str | None
    facts: tuple[tuple[str, str, str], ...]
    trouble: tuple[str, ...]
    profile: Profile | None


def tell(method: Method) -> Story | None:
    """How the run of a method went.

    Args:
        method: The method.

    Returns:
        Its story; None where it was not trained, or left nothing that would tell.

    Raises:
        BagreidError: Its profile is damaged.
    """
    if method.path is None:
        return None
    run = read_run(method.path, method.path)
    profile = _profile(method.path / "profile" / "profile.json")
    trouble = (*_troubles(method.log.trouble), *(f"{text}." for text in run.problems))
    if not (method.path / "state.json").is_file() and not trouble and profile is None:
        return None
    return Story(state_sentence(run), run.resume, tuple(_facts(run)), trouble, profile)


def state_sentence(run: Run) -> str:
    """What became of a run, and how far it came."""
    text = _STATES[run.state]
    if run.step is not None and run.state != "finished":
        of = "" if run.total_steps is None else f" of {count(run.total_steps)}"
        text += f", at step {count(run.step)}{of}"
    if run.why:
        text += f": {run.why.rstrip('.')}"
    if run.is_over and not run.has_checkpoint:
        text += ". It has no checkpoint yet, so it can only begin anew"
    return f"{text}."


def _facts(run: Run) -> list[tuple[str, str, str]]:
    found = []
    if run.step is not None:
        remark = "" if run.total_steps is None else f"of {count(run.total_steps)}"
        found.append(("Steps done", count(run.step), remark))
    if run.seconds is not None:
        found.append(("Time", duration(run.seconds), "of all its parts, pauses aside"))
    if run.images_per_second is not None:
        found.append(("Speed", f"{run.images_per_second:,.0f}", "images a second, at the end"))
    return found


def _troubles(trouble: Trouble) -> list[str]:
    found = []
    if trouble.skipped:
        steps, named = count(len(trouble.skipped), "step"), _named(trouble.skipped)
        found.append(f"{steps} gave no finite loss or gradient and changed nothing: {named}.")
    if trouble.replaced:
        times = count(trouble.replaced, "time")
        found.append(f"Another image of the bag stood in for a broken one {times}.")
    for step, why in trouble.deaths:
        found.append(f"The loader was started anew after step {count(step)}: {why}.")
    return found


def _named(steps: Sequence[int]) -> str:
    shown = [count(step) for step in steps[:MOST_NAMED]]
    if len(steps) > MOST_NAMED:
        shown.append(f"{count(len(steps) - MOST_NAMED)} more")
    return listed(shown)


def _profile(path: Path) -> Profile | None:
    if not path.is_file():
        return None
    fields = read_json(path)
    fields.expect_schema(PROFILE_SCHEMA)
    verdict, step = fields.child("verdict"), fields.child("step_seconds")
    mean, least, most = (_ms(step.number(name)) for name in ("mean", "least", "most"))
    headline = (
        f"A step of {count(fields.integer('images_per_step'), 'image')} took {mean} ms ({least} to "
        f"{most}), which is {fields.number('images_per_second'):,.0f} images a second; mean of "
        f"{count(fields.integer('steps'), 'step')} on {fields.text('device')}."
    )
    phases = [_row(row, 100 * row.number("share")) for row in fields.children("phases")]
    operators = fields.children("operators")
    whole = max((_decisive(row) for row in operators), default=0.0) or 1.0
    return Profile(
        headline,
        verdict.text("said"),
        verdict.text("advice"),
        tuple(phases),
        tuple(_row(row, 100 * _decisive(row) / whole) for row in operators),
        any(row.device is not None for row in phases),
    )


def _row(fields: Fields, share: float) -> Row:
    device = _ms(fields.number("device_seconds")) if "device_seconds" in fields else None
    calls = f"{fields.number('calls'):,.0f}" if "calls" in fields else ""
    # a device's time between phases may come out a hair below nothing
    share = min(max(share, 0.0), 100.0)
    return Row(fields.text("name"), calls, _ms(fields.number("host_seconds")), device, share)


def _decisive(fields: Fields) -> float:
    return fields.number("device_seconds" if "device_seconds" in fields else "host_seconds")


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
