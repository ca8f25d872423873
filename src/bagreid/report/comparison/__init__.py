"""Evaluations side by side: paired tests, curves with their intervals, and one page."""

from bagreid.report.comparison.folder import Comparison, compare, write_comparison

__all__ = ["Comparison", "compare", "write_comparison"]
