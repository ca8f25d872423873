"""Surveys an archive: its tars and folders first, then bags, lists and truth against them."""

from __future__ import annotations

from pathlib import Path

from bagreid.catalog.hold import Hold, hold_archive
from bagreid.catalog.labelled import read_labelled
from bagreid.catalog.layouts import Layout, survey_layout
from bagreid.catalog.members import BuildProgress
from bagreid.catalog.remote import local_root
from bagreid.catalog.scanning import scan_tars
from bagreid.catalog.store import cache_directory
from bagreid.catalog.survey.companions import survey_bags, survey_lists, survey_truth
from bagreid.catalog.survey.images import survey_images
from bagreid.catalog.survey.people import survey_people
from bagreid.catalog.survey.survey import Survey
from bagreid.catalog.trees import read_trees
from bagreid.contracts import BagreidError


def survey_archive(
    where: Path | str | Layout,
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: BuildProgress | None = None,
) -> Survey:
    """Reads an archive completely, raising nothing for what its files hold.

    Args:
        where: The archive, its URL, or its layout where that is known.
        cache: Folder for catalogs; None takes `$BAGREID_CACHE` or `~/.cache/bagreid`.
        workers: How many tars are scanned at once; None takes what the machine has.
        progress: Told how far the reading is.

    Returns:
        All that is known of it.
    """
    if isinstance(where, Layout):
        layout = where
    else:
        try:
            layout = survey_layout(local_root(where, cache=cache, progress=progress))
        except BagreidError as error:
            return Survey.empty(Path(where), None, [error])
    directory = cache_directory(layout.root, cache)
    with hold_archive(directory) as hold:
        return survey_files(layout, directory, hold, workers=workers, progress=progress)


def survey_files(
    layout: Layout,
    directory: Path,
    hold: Hold,
    *,
    workers: int | None,
    progress: BuildProgress | None,
) -> Survey:
    """Reads the files of an archive completely, raising nothing for what they hold.

    Args:
        layout: Where they lie.
        directory: The archive's cache folder.
        hold: The share of this process in it.
        workers: How many tars are scanned at once; None takes what the machine has.
        progress: Told how far the reading is.

    Returns:
        All that is known of the archive.
    """
    if layout.labelled is not None:
        files = read_labelled(layout.labelled, progress)
        survey = survey_images(layout, [], files.folders)
        survey_people(survey, files, layout)
        return survey
    pieces = scan_tars(layout, directory, hold, workers=workers, progress=progress)
    survey = survey_images(layout, pieces, list(read_trees(layout, progress)))
    survey_bags(survey, layout)
    survey_lists(survey, layout)
    survey_truth(survey, layout)
    return survey
