"""All that is known of an archive before anything is judged or written.

`bagreid catalog` raises the first problem of a survey and else writes it down; `bagreid verify`
reports all of it.
"""

from bagreid.catalog.survey.archive import survey_archive, survey_files
from bagreid.catalog.survey.survey import Survey, TarReport

__all__ = ["Survey", "TarReport", "survey_archive", "survey_files"]
