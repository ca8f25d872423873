"""What lies beside the images: the bag file, the lists, the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bagreid.catalog.bags import EMPTY_BAGS, make_bag_table, read_bag_file
from bagreid.catalog.findings import FIRST, ListFinding
from bagreid.catalog.layouts import Layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.lists import list_finding, match, read_list
from bagreid.catalog.members import SPLITS
from bagreid.catalog.order import sort_rows
from bagreid.catalog.survey.survey import Survey
from bagreid.catalog.truth import read_truth
from bagreid.contracts import BagreidError


def survey_bags(survey: Survey, layout: Layout) -> None:
    """Reads the bag file and holds it to the folders.

    Args:
        survey: What is known of the images; it learns of the bags.
        layout: Where the files lie.
    """
    if layout.bag_file is None:
        bags = EMPTY_BAGS
    else:
        try:
            bags = read_bag_file(layout.bag_file)
        except BagreidError as error:
            survey.bag_problem, bags = error, EMPTY_BAGS
    survey.bags = bags
    survey.absent_bag_folders = tuple(bags.absent(survey.folder_names))
    if not survey.folder_names and len(bags):
        note = "bags: left aside, for there are no train images here"
        survey.findings = replace(survey.findings, notes=(*survey.findings.notes, note))
        bags = EMPTY_BAGS
    named = set(bags.folder_name.to_pylist())
    try:
        survey.bag_table, survey.identities = make_bag_table(
            bags, survey.folder_names, layout.bag_file
        )
    except BagreidError as error:
        survey.bag_folder_problem = error
    lonely = [name for name in survey.folder_names if name not in named] if len(bags) else []
    survey.findings = replace(
        survey.findings,
        duplicate_bag_labels=bags.duplicate_labels,
        duplicate_bag_folders=bags.duplicate_folders,
        bags_merged=bags.bags_merged,
        repeated_bag_ids=bags.repeated_ids,
        labels_as_text=bags.labels_as_text,
        unknown_bag_keys=bags.unknown_keys,
        folders_in_no_bag=len(lonely),
        first_folders_in_no_bag=tuple(lonely[:FIRST]),
    )


def survey_lists(survey: Survey, layout: Layout) -> None:
    """Matches each list with its split and puts test rows into the order of their list.

    Args:
        survey: What is known of the images; it learns of the lists.
        layout: Where the files lie.
    """
    findings: list[ListFinding] = []
    problems: list[BagreidError] = []
    for split in SPLITS:
        source = layout.lists.get(split)
        if source is None:
            continue
        try:
            listed = read_list(source.path, split if source.mixed else None)
        except BagreidError as error:
            problems.append(error)
            continue
        rows = survey.split(split)
        place, present = match(survey.members.key[rows.start : rows.stop], listed)
        unlisted = np.flatnonzero(place < 0)
        names = [survey.name(rows.start + row) for row in unlisted[:FIRST].tolist()]
        file = relative(source.path, layout.root)
        findings.append(list_finding(file, split, listed, present, len(unlisted), names))
        if split != "train":
            sort_rows(survey.members, rows, np.where(place < 0, len(present), place))
    survey.list_problems = tuple(problems)
    survey.findings = replace(survey.findings, lists=tuple(findings))


def survey_truth(survey: Survey, layout: Layout) -> None:
    """Reads the truth of an archive that has one.

    Args:
        survey: What is known of the images; it learns of the truth.
        layout: Where the files lie.
    """
    if layout.truth_file is None:
        return
    key, train = survey.members.key, len(survey.split("train"))
    try:
        survey.truth, absent, missing = read_truth(
            layout.truth_file, key[:train], key[train:], survey.identities
        )
    except BagreidError as error:
        survey.truth_problem = error
        return
    survey.findings = replace(survey.findings, truth_absent=absent, truth_missing=missing)
