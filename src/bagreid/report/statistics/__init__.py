"""An archive's statistics as figures, tables and one page."""

from bagreid.report.statistics.folder import StatisticsReport, write_statistics

__all__ = ["StatisticsReport", "write_statistics"]
