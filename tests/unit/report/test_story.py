"""How a run went, as the page tells it."""

import html
from pathlib import Path

import pytest

from bagreid.contracts import BagreidError
from bagreid.report.log import Trouble, read_log
from bagreid.report.page import render
from bagreid.report.story import tell
from bagreid.report.work_dir import read_work_dir

from .fabricate import edit, make_demo, make_killed, make_run


@pytest.fixture
def killed(tmp_path: Path, archive: Path) -> Path:
    return make_killed(tmp_path / "run", archive)


def test_the_state_the_command_and_the_trouble_are_told(killed: Path) -> None:
    story = tell(read_work_dir(killed).main)
    assert story is not None
    assert story.state.startswith("The run was killed, at step 390 of 1,000: nothing heard of it")
    assert story.resume == (
        f"cd /home && bagreid train configs/x.py --work-dir {killed} --resume-from auto"
    )
    assert story.trouble == (
        "3 steps gave no finite loss or gradient and changed nothing: 31, 32 and 207.",
        "Another image of the bag stood in for a broken one 12 times.",
        "The loader was started anew after step 120: worker 2 was killed.",
    )
    assert ("Time", "1 h 1 min", "of all its parts, pauses aside") in story.facts
    page = html.unescape(render(read_work_dir(killed)))
    for told in (story.state, story.resume, *story.trouble, "Norm of the gradient"):
        assert told in page
    assert "Bound by the loader." in page


def test_a_profile_of_a_gpu_shows_its_times(tmp_path: Path, archive: Path) -> None:
    run = make_killed(tmp_path / "run", archive, on_gpu=True)
    story = tell(read_work_dir(run).main)
    assert story is not None
    assert story.profile is not None
    assert story.profile.headline == (
        "A step of 180 images took 210.0 ms (200.0 to 1,250), which is 1,234 images a second; "
        "mean of 10 steps on NVIDIA Something."
    )
    assert {row.device for row in story.profile.phases} == {"20.0"}
    assert "Device, ms" in render(read_work_dir(run))


def test_a_damaged_profile_is_named(killed: Path) -> None:
    edit(killed / "profile" / "profile.json", verdict="fast")
    with pytest.raises(BagreidError, match=r"profile\.json.*found str"):
        tell(read_work_dir(killed).main)
    edit(killed / "profile" / "profile.json", schema="bagreid.profile/9")
    with pytest.raises(BagreidError, match="this version reads"):
        tell(read_work_dir(killed).main)


def test_runs_of_before_tell_no_story(tmp_path: Path, archive: Path) -> None:
    old = make_run(tmp_path / "old", archive)
    assert tell(read_work_dir(old).main) is None
    demo = make_demo(tmp_path / "demo", archive)
    assert tell(read_work_dir(demo).methods[2]) is None


def test_trouble_is_read_from_the_log(killed: Path) -> None:
    log = read_log(killed / "log.jsonl")
    assert log.trouble == Trouble(
        skipped=(31, 32, 207), replaced=12, deaths=((120, "worker 2 was killed"),)
    )
    assert log.curves["gradient_norm"].value[0] == 13
    assert log.curves["waited"].value[0] == 0.25
    assert log.last_step == 390


def test_many_skipped_steps_are_counted(killed: Path) -> None:
    with (killed / "log.jsonl").open("a") as file:
        file.writelines(f'{{"kind": "skipped", "step": {1000 + n}}}\n' for n in range(50))
    story = tell(read_work_dir(killed).main)
    assert story is not None
    assert story.trouble[0].endswith("1,007, 1,008 and 41 more.")
