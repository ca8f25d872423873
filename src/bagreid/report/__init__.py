"""Reads the result files of a run and writes one self-contained HTML page; never imports torch."""

from bagreid.report.page import Report, write_report

__all__ = ["Report", "write_report"]
