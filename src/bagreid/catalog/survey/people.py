"""The bags and the truth of a strongly labelled set, made from who is on its images.

Shape letters: N train images, B bags, C identities.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from bagreid.catalog.bags import BagFile, make_bag_table
from bagreid.catalog.labelled import LabelledFiles
from bagreid.catalog.layouts import Layout
from bagreid.catalog.order import sort_rows
from bagreid.catalog.simulation import BagSimulation, simulate_bags
from bagreid.catalog.survey.survey import Survey
from bagreid.contracts import IntArray


def survey_people(survey: Survey, files: LabelledFiles, layout: Layout) -> None:
    """Turns the folders of people into folders of bags, and keeps who is on each image as truth.

    Args:
        survey: What is known of the images, a train folder a person; it learns of the lists, the
            bags and the truth, and its train rows are sorted by bag.
        files: What was read.
        layout: How bags are made.
    """
    members, options = survey.members, layout.simulation
    train = survey.split("train")
    person_N = members.group[: len(train)].astype(np.int64)
    bag_N = simulate_bags(person_N, options)
    order = np.argsort(bag_N, kind="stable")
    sort_rows(members, train, bag_N)
    members.group[: len(train)] = bag_N[order]
    survey.truth = person_N[order]
    identities = np.array(list(map(int, survey.folder_names)), np.int64)
    bags = _bag_file(bag_N[order], survey.truth, identities)
    survey.folder_names = bags.folder_name.to_pylist()
    survey.bags = bags
    survey.bag_table, survey.identities = make_bag_table(bags, survey.folder_names, None)
    survey.list_problems = files.problems
    notes = (*survey.findings.notes, *files.notes, *_told(bag_N, bags, options))
    survey.findings = replace(survey.findings, lists=files.lists, notes=notes)


def _bag_file(bag_N: IntArray, person_N: IntArray, identities: IntArray) -> BagFile:
    """The bags as a bag file would list them: each is the one folder of its images."""
    bags = int(bag_N.max(initial=-1)) + 1
    pair = np.unique(bag_N << 32 | person_N)
    offset = np.zeros(bags + 1, np.int64)
    np.cumsum(np.bincount(pair >> 32, minlength=bags), out=offset[1:])
    names = pa.array([f"bag{number:010d}" for number in range(1, bags + 1)], pa.large_string())
    return BagFile(
        bag_id=names,
        folder_name=names,
        folder_offset=np.arange(bags + 1),
        folder=np.arange(bags, dtype=np.int32),
        label_offset=offset,
        label=identities[pair & (2**32 - 1)].astype(np.int32),
    )


def _told(bag_N: IntArray, bags: BagFile, options: BagSimulation) -> list[str]:
    """How the bags came out."""
    if not len(bags):
        return ["there are no train images, so there are no bags"]
    told = [
        f"{len(bags):,} bags are simulated from the people that the names tell: "
        f"{options.people} people a bag, {options.images} images each, by seed {options.seed}"
    ]
    few = int((np.diff(bags.label_offset) < options.people).sum())
    small = int((np.bincount(bag_N) < options.bag_size).sum())
    if few:
        told.append(f"{few:,} of the bags hold fewer than {options.people} people")
    if small:
        told.append(
            f"{small:,} of the bags hold fewer than {options.bag_size} images, for a person's "
            f"images do not always divide by {options.images}"
        )
    return told
