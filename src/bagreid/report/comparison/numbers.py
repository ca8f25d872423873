"""A comparison as plain values, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bagreid import __version__
from bagreid.evaluation.comparison import RESAMPLES
from bagreid.evaluation.statistics import CONFIDENCE
from bagreid.report.comparison.figures import Drawn
from bagreid.report.comparison.pairing import Difference, Pair
from bagreid.report.comparison.verdict import cautions, verdict

SCHEMA = "bagreid.compare/1"
"""The format of ``compare.json``."""


def numbers(
    methods: Sequence[Drawn], pairs: Sequence[Pair], *, seed: int, paths: Sequence[str]
) -> dict[str, Any]:
    """All that a comparison finds; shares and differences are fractions.

    Args:
        methods: The methods, the first one first.
        pairs: The first against each of the others; none where they are not tested.
        seed: What the bootstrap was drawn by.
        paths: The files they were read from.

    Returns:
        The content of ``compare.json``.
    """
    several = len(pairs) > 1
    return {
        "schema": SCHEMA,
        "version": __version__,
        "confidence": CONFIDENCE,
        "bootstrap": {"resamples": RESAMPLES, "seed": seed, "interval": "percentile"},
        "methods": [_method(m, path) for m, path in zip(methods, paths, strict=True)],
        "pairs": [_pair(pair, several) for pair in pairs],
        "cautions": cautions([(m.name, m.evaluation) for m in methods], pairs),
    }


def _method(method: Drawn, path: str) -> dict[str, Any]:
    evaluation = method.evaluation
    found: dict[str, Any] = {
        "method": method.name,
        "file": path,
        "convention": evaluation.convention,
        "counts": evaluation.counts,
        "mean_ap": evaluation.mean_ap,
        "mean_inp": evaluation.mean_inp,
        "cmc": evaluation.cmc,
        "cmc_interval": [evaluation.interval(k) for k in range(1, len(evaluation.cmc) + 1)],
        "needle": None,
    }
    if method.curve is not None:
        found["needle"] = {
            "wrong_answers": method.curve.sizes.tolist(),
            **{
                f"rank{k}": {
                    "share": method.curve.share[:, column].tolist(),
                    "interval": method.curve.interval[:, column].tolist(),
                }
                for column, k in enumerate(method.curve.places)
            },
        }
    return found


def _pair(pair: Pair, several: bool) -> dict[str, Any]:
    ranks = {
        f"rank{found.k}": {**_difference(found.difference), **asdict(found.discordance)}
        for found in pair.ranks
    }
    return {
        "first": pair.first.name,
        "second": pair.second.name,
        "joined_by": pair.by,
        "queries": pair.queries,
        "people": pair.people,
        **ranks,
        "mean_ap": _difference(pair.mean_ap),
        "corrected_p_value": pair.p_value,
        "verdict": verdict(pair, corrected=several),
        "changed_most": [asdict(change) for change in pair.changes],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "first": difference.first,
        "second": difference.second,
        "difference": difference.value,
        "interval": [difference.low, difference.high],
    }
