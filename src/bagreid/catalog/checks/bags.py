"""The bag file: whole, and about the folders that are there.

Shape letters: B bags, F folder names in the bag file, E entries (a folder or a label in a bag).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from bagreid.catalog.bags import BagFile
from bagreid.catalog.checks.bag_numbers import BagNumbers
from bagreid.catalog.checks.folders import distinct_numbers, some
from bagreid.catalog.checks.places import told
from bagreid.catalog.checks.verdict import Verdict, all_of, none_of, plural
from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.survey import Survey
from bagreid.contracts import IntArray

_FETCH = "Fetch bag_level_label.json again"
_NUMBERED = re.compile(r"\D*(\d{1,18})")


def check(survey: Survey, full: bool) -> Iterator[Verdict]:
    """Judges the bag file.

    Args:
        survey: The archive.
        full: Whether it should be the whole of SYSU-30k.

    Yields:
        Verdicts.
    """
    yield _file(survey, full)
    bags = survey.bags
    if not len(bags):
        return
    there = distinct_numbers(survey.folder_names)
    universe = np.arange(1, PUBLISHED["train folders"] + 1) if full else there
    numbers = BagNumbers(bags, universe)
    # Where the number of bags is right, none is lost, and what is odd about them is a note.
    as_many = numbers.released and len(bags) == numbers.expected_windows
    yield from _windows(numbers, as_many)
    yield _gaps_in_names(bags, numbers.released and not as_many)
    yield none_of(
        "bags.repeated",
        "bags named like another bag",
        bags.repeated_ids,
        says=f"{plural(bags.repeated_ids, 'bag has', 'bags have')} the BagID of an earlier one; "
        "all are kept",
        remedy=_FETCH,
        otherwise="note" if as_many else "bad",
    )
    yield from _folders(survey)
    yield _identities(survey, numbers, there)
    yield from _known_oddities(bags, numbers)


def _file(survey: Survey, full: bool) -> Verdict:
    problem = survey.bag_problem
    present = survey.layout is not None and survey.layout.bag_file is not None
    return all_of(
        "bags.file",
        "bag files that can be read",
        int(present and problem is None),
        1,
        says=told(survey, problem)
        if problem
        else "there is no bag file, so nothing to train from bags",
        remedy=_FETCH if present else "Put bag_level_label.json at the root",
        otherwise="bad" if full or problem else "note",
    )


def _windows(numbers: BagNumbers, as_many: bool) -> Iterator[Verdict]:
    """In a bag file like the released one every folder has its three bags."""
    if not numbers.released:
        return
    missing = numbers.missing_windows()
    yield all_of(
        "bags.windows",
        "bags of 1, 3 and 5 neighbours",
        numbers.expected_windows - len(missing),
        numbers.expected_windows,
        says="each folder should have three bags: its own, one with 1 neighbour on each side and "
        "one with 2",
        examples=(f"folders {a}-{b}" if a < b else f"folder {a}" for a, b in missing),
        remedy=_FETCH,
        otherwise="note" if as_many else "bad",
    )


def _gaps_in_names(bags: BagFile, lost: bool) -> Verdict:
    matches = [_NUMBERED.fullmatch(name) for name in pc.unique(bags.bag_id).to_pylist()]
    numbers = np.unique(np.array([int(match[1]) for match in matches if match], np.int64))
    jump = np.diff(numbers)
    holes = np.flatnonzero(jump > 1)
    return none_of(
        "bags.gaps",
        "numbers left out between BagIDs",
        int((jump - 1).sum()),
        says="BagIDs are counted up, and some numbers are left out",
        examples=(f"between {numbers[at]} and {numbers[at + 1]}" for at in holes),
        remedy=_FETCH if lost else "Nothing to do if the bags were chosen from more",
        otherwise="bad" if lost else "note",
    )


def _folders(survey: Survey) -> Iterator[Verdict]:
    bags, absent, findings = survey.bags, survey.absent_bag_folders, survey.findings
    lacking = set(absent)
    names = bags.folder_name.to_pylist()
    gone_F = np.array([name in lacking for name in names], np.bool_)
    bag_E = np.repeat(np.arange(len(bags)), np.diff(bags.folder_offset))
    touched = len(np.unique(bag_E[gone_F[bags.folder]]))
    yield none_of(
        "bags.absent_folders",
        "folders that bags name, not there",
        len(absent),
        says=f"{plural(len(absent), 'folder')} named by {plural(touched, 'bag')}",
        examples=absent,
        remedy="Fetch the train tar they lie in, or the bag file of this very archive",
    )
    lonely = findings.folders_in_no_bag
    yield none_of(
        "bags.lonely_folders",
        "train folders in no bag",
        lonely,
        says=f"no bag names {plural(lonely, 'folder')}, whose images no training from bags sees",
        examples=findings.first_folders_in_no_bag,
        remedy=_FETCH,
    )


def _identities(survey: Survey, numbers: BagNumbers, there: IntArray) -> Verdict:
    """Labels that nothing can teach: where a label is a folder's number, that folder is wanted."""
    bags = survey.bags
    if numbers.labels_are_folders:
        without = np.setdiff1d(bags.label, there)
        says = f"no folder holds images of {plural(len(without), 'identity', 'identities')}"
    else:
        with_images = numbers.identities_of_bags_with(survey.folder_names)
        without = np.setdiff1d(bags.label, with_images)
        says = (
            f"{plural(len(without), 'identity', 'identities')} only in bags none of whose "
            "folders is there"
        )
    return none_of(
        "bags.identities",
        "identities without images",
        len(without),
        says=f"{says}: {some(without)}",
        remedy="Fetch the train tar of those folders, or the bag file again",
    )


def _known_oddities(bags: BagFile, numbers: BagNumbers) -> Iterator[Verdict]:
    merged = bags.duplicate_labels + bags.duplicate_folders
    yield none_of(
        "bags.duplicates",
        "repetitions inside bags",
        merged,
        says=f"{plural(bags.bags_merged, 'bag')} with identities or folders listed twice "
        f"({bags.duplicate_labels:,} and {bags.duplicate_folders:,}), as the release is known to; "
        "they are merged",
        otherwise="note",
    )
    if numbers.labels_are_folders:
        other = numbers.bags_with_other_labels
        yield none_of(
            "bags.labels",
            "bags with other labels than folders",
            len(other),
            says="elsewhere in this file the labels of a bag are the numbers of its folders",
            examples=(bags.bag_id[int(bag)].as_py() for bag in other[:10]),
            otherwise="note",
        )
    spelled = bags.labels_as_text + bags.unknown_keys
    yield none_of(
        "bags.spelling",
        "labels as text, unknown keys",
        spelled,
        says=f"{plural(bags.labels_as_text, 'label')} written as text and read as numbers, "
        f"{plural(bags.unknown_keys, 'unknown key')} passed over",
        otherwise="note",
    )
