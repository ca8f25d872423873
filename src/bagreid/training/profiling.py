"""``bagreid train … --profile``: where the time of a step goes, as a table and as a trace.

The table is taken from steps on which nothing looks but clocks; the operators and the trace from a
few more, under PyTorch's profiler, which slows what it sees.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile, record_function

from bagreid.contracts import BagreidError
from bagreid.files import write_beside, write_json
from bagreid.training.phases import Phases
from bagreid.training.profile_table import print_profile, profile_text
from bagreid.training.timing import StepTimer, StepTimes
from bagreid.training.verdict import judge
from bagreid.world import World

SCHEMA = "bagreid.profile/1"
WARM_UP = 2
"""Steps at the beginning that are not looked at: caches fill, kernels are chosen."""
TRACE_WARM_UP = 1
"""Steps under the profiler that are left out: it starts up."""
MOST_OPERATORS = 10


class Operator(NamedTuple):
    """An operator of the traced steps; seconds a step, those of operators inside it aside."""

    name: str
    calls: float
    host: float
    device: float | None


class StepProfile:
    """Looks on at some steps of a run and writes ``WORK_DIR/profile/``; a context around the run.

    A run of fewer steps gives what it can. No failure of the profile stops a run.

    Args:
        phases: Where the run is; asked to let this look on.
        world: Who computes; the first rank alone is looked at.
        work_dir: Gets ``profile/profile.json``, ``profile.txt`` and ``trace.json.gz``.
        images: Images a step, of all ranks together.
        console: Where the table is shown.
        steps: Steps that are timed.
        traced: Steps that are traced.
    """

    def __init__(
        self,
        phases: Phases,
        world: World,
        work_dir: Path,
        images: int,
        console: Console | None,
        *,
        steps: int = 10,
        traced: int = 3,
    ) -> None:
        self._phases, self._world, self._folder = phases, world, work_dir / "profile"
        self._images, self._console = images, console
        self._steps, self._traced = steps, traced
        self._timer = StepTimer(world.device)
        self._times: StepTimes | None = None
        self._profiler: profile | None = None
        self._seen, self._at, self._first = 0, -1, 0
        self._is_over = not world.is_main

    def __enter__(self) -> StepProfile:
        if not self._is_over:
            self._phases.watch(self._look, first=True)  # it works between two steps
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_over:
            self._seen += self._phases.step != self._at  # the last step is done
            self._finish()

    def _look(self, name: str) -> AbstractContextManager[object]:
        if self._is_over:
            return nullcontext()
        if name == "load" and self._phases.step != self._at:
            if self._at < 0:
                self._first = self._phases.step + 1
            else:
                self._seen += 1
            self._at = self._phases.step
            self._border()
        return self._phase(name) if not self._is_over else nullcontext()

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        if self._profiler is not None:
            with record_function(f"phase {name}"):
                yield
        elif self._seen >= WARM_UP:
            with self._timer.phase(name):
                yield
        else:
            yield

    def _border(self) -> None:
        """Between two steps: goes on to the next part of the profile where it is time."""
        if self._profiler is not None:
            self._profiler.step()
        elif self._seen >= WARM_UP:
            self._timer.border()
        if self._seen == WARM_UP + self._steps and self._profiler is None:
            self._times = self._timer.times()
            with suppress(RuntimeError):  # where tracing is forbidden there is still the table
                self._profiler = self._start_profiler()
        if self._seen == WARM_UP + self._steps + TRACE_WARM_UP + self._traced:
            self._finish()

    def _start_profiler(self) -> profile:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells of every stage of its work
        activities = [ProfilerActivity.CPU]
        if self._world.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        plan = torch.profiler.schedule(wait=0, warmup=TRACE_WARM_UP, active=self._traced, repeat=1)
        profiler = profile(activities=activities, schedule=plan, acc_events=True)
        profiler.start()
        return profiler

    def _finish(self) -> None:
        self._is_over = True
        try:
            if self._profiler is not None:
                self._profiler.stop()
            elif self._timer.steps:
                self._times = self._timer.times()
            if self._times is None:
                begins = WARM_UP + 1
                self._say(f"The run is too short for a profile, which begins at step {begins}.")
                return
            self._write(self._times)
        except (BagreidError, OSError, RuntimeError) as error:
            self._say(f"The profile could not be written: {error}")

    def _write(self, times: StepTimes) -> None:
        operators, computed, trace = self._operators()
        busy = None if computed is None else min(1.0, computed / times.mean)
        content = self._content(times, operators, busy) | {"trace": trace}
        if self._console is not None:
            print_profile(content, self._console)
        write_json(self._folder / "profile.json", content)
        with write_beside(self._folder / "profile.txt") as file:
            file.write(profile_text(content).encode())
        self._say(f"The profile is in {self._folder}")

    def _operators(self) -> tuple[list[Operator], float | None, str | None]:
        """Operators, seconds a step that the device computes, and the name of the trace."""
        traced = self._seen - WARM_UP - self._steps - TRACE_WARM_UP
        if self._profiler is None or traced < 1:
            return [], None, None
        found, computed = operators_of(
            self._profiler.key_averages(), traced, on_gpu=self._world.device.type == "cuda"
        )
        return found[:MOST_OPERATORS], computed, self._export()

    def _export(self) -> str:
        assert self._profiler is not None
        path = self._folder / "trace.json.gz"
        beside = self._folder / "partial.json.gz"  # PyTorch packs what is called so
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._profiler.export_chrome_trace(str(beside))
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink()
        return path.name

    def _content(
        self, times: StepTimes, operators: list[Operator], busy: float | None
    ) -> dict[str, Any]:
        verdict = judge(times.without("save", "validate"), busy)
        return {
            "schema": SCHEMA,
            "device": _name_of(self._world.device),
            "processes": self._world.size,
            "threads": torch.get_num_threads(),
            "steps": times.steps,
            "first_step": self._first + WARM_UP,
            "images_per_step": self._images,
            "images_per_second": self._images / times.mean,
            "step_seconds": {"mean": times.mean, "least": times.least, "most": times.most},
            "device_busy": busy,
            "phases": [
                {
                    "name": phase.name,
                    "host_seconds": phase.host,
                    "device_seconds": phase.device,
                    "share": times.share(phase.name),
                    "seconds_per_image": phase.decisive / self._images,
                }
                for phase in times.phases
            ],
            "verdict": {"bound": verdict.bound, "said": verdict.said, "advice": verdict.advice},
            "operators": [
                {
                    "name": each.name,
                    "calls": each.calls,
                    "host_seconds": each.host,
                    "device_seconds": each.device,
                }
                for each in operators
            ],
        }

    def _say(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def operators_of(
    events: Iterable[Any], steps: int, *, on_gpu: bool
) -> tuple[list[Operator], float | None]:
    """What PyTorch's profiler counted.

    A GPU's time is there twice: with the operator that asked for it, and as the device's own work;
    and a third time with whatever span a name was given to.

    Args:
        events: Its averages.
        steps: Steps that it looked at.
        on_gpu: Whether a GPU computed.

    Returns:
        The operators, dearest first, and the seconds a step that the GPU computed.
    """
    found: list[Operator] = []
    computed = 0.0
    for event in events:
        device = event.self_device_time_total / 1e6 / steps if on_gpu else None
        if event.device_type != DeviceType.CPU:
            computed += 0.0 if event.is_user_annotation else device or 0.0
        elif not event.key.startswith(("phase ", "ProfilerStep")):
            host = event.self_cpu_time_total / 1e6 / steps
            found.append(Operator(event.key, event.count / steps, host, device))
    found.sort(key=lambda each: each.host if each.device is None else each.device, reverse=True)
    return found, computed if on_gpu else None


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
