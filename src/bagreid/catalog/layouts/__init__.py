"""The layouts in which SYSU-30k and archives like it lie about; one file per layout."""

from bagreid.catalog.layouts.downloaded import TarSource
from bagreid.catalog.layouts.layout import Layout, ListSource, find_layout, survey_layout

__all__ = ["Layout", "ListSource", "TarSource", "find_layout", "survey_layout"]
