"""Evaluations side by side: paired tests, curves with their intervals, and one page."""
