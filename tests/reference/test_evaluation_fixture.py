"""The recorded results of the released test script and of the standard tools."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bagreid.contracts import Convention
from bagreid.evaluation import evaluate_ranking

FIXTURE = Path(__file__).parent / "fixtures" / "evaluation.npz"
INPUTS = [f"{side}_{key}" for side in ("query", "gallery") for key in ("feature", "pid", "camid")]


def load(case: int) -> dict[str, Any]:
    with np.load(FIXTURE) as archive:
        prefix = f"{case}/"
        return {
            key.removeprefix(prefix): archive[key]
            for key in archive.files
            if key.startswith(prefix)
        }


@pytest.mark.parametrize("case", [0, 1])
@pytest.mark.parametrize("block", [None, 64, 701])
def test_sysu30k_convention(case: int, block: int | None) -> None:
    recorded = load(case)
    inputs = {key: recorded[key] for key in INPUTS}
    result = evaluate_ranking(**inputs, convention="sysu30k", block=block)
    np.testing.assert_array_equal(result.first_match_rank, recorded["first_match_rank"])
    np.testing.assert_allclose(
        result.average_precision, recorded["reference_ap"], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        result.cmc[[0, 4, 9]], recorded["reference_cmc_1_5_10"], rtol=0, atol=1e-6
    )
    assert result.mean_ap == pytest.approx(float(recorded["reference_map"]), abs=1e-6)


@pytest.mark.parametrize("case", [0, 1])
def test_standard_convention(case: int) -> None:
    recorded = load(case)
    convention: Convention = "standard"
    result = evaluate_ranking(**{key: recorded[key] for key in INPUTS}, convention=convention)
    np.testing.assert_array_equal(result.first_match_rank, recorded["first_match_rank"])
    np.testing.assert_allclose(result.cmc[[0, 4, 9]], recorded["standard_cmc"], rtol=0, atol=1e-6)
    assert result.mean_ap == pytest.approx(float(recorded["standard_map"]), abs=1e-6)
    assert result.mean_inp == pytest.approx(float(recorded["standard_minp"]), abs=1e-6)
