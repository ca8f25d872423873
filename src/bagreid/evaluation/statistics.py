"""How far a measured share can be trusted; NumPy alone.

Shape letters: K shares.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from bagreid.contracts import FloatArray

CONFIDENCE = 0.95
"""Probability that an interval is meant to hold the true value with."""


def wilson_intervals(
    hits: npt.ArrayLike, trials: int, confidence: float = CONFIDENCE
) -> FloatArray:
    """Wilson's score intervals of shares, right also near 0 and 1.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
    JASA 22 (1927).

    Args:
        hits: ``(K,)`` how many of the trials succeeded; expected numbers need not be whole.
        trials: How many there were, at least one.
        confidence: Probability that an interval is meant to hold the true share with.

    Returns:
        ``(K, 2)`` float64 lower and upper ends, 0 … 1.

    Raises:
        ValueError: When there are no trials, or more hits than trials.
    """
    hits_K = np.asarray(hits, dtype=np.float64)
    if trials < 1 or not np.all((hits_K >= 0) & (hits_K <= trials)):
        raise ValueError(f"{hits_K} hits in {trials} trials is no share")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits_K / trials
    weight = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / weight
    half = z / weight * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = np.where(hits_K == 0, 0.0, centre - half)
    high = np.where(hits_K == trials, 1.0, centre + half)
    return np.stack([low, high], axis=-1)


def wilson_interval(
    hits: float, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Wilson's score interval of one share.

    Args:
        hits: How many of the trials succeeded.
        trials: How many there were, at least one.
        confidence: Probability that the interval is meant to hold the true share with.

    Returns:
        Lower and upper end, 0 … 1.

    Raises:
        ValueError: When there are no trials, or more hits than trials.
    """
    low, high = wilson_intervals(hits, trials, confidence).tolist()
    return low, high
