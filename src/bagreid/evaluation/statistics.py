"""How far a measured share can be trusted."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, right also near 0 and 1.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
    JASA 22 (1927).

    Args:
        hits: How many of the trials succeeded.
        trials: How many there were, at least one.
        confidence: Probability that the interval is meant to hold the true share with.

    Returns:
        Lower and upper end, 0 … 1.

    Raises:
        ValueError: When there are no trials, or more hits than trials.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} hits in {trials} trials is no share")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / trials
    weight = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == trials else centre + half
    return low, high
