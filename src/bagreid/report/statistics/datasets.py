"""The other data sets, as the release of SYSU-30k sets them beside itself.

Identities, scene, annotation, cameras and images are those of the release's Table 1 and Table 2.
Test parts are given where a set fixes one split that adds up with these: Market-1501 (the read-me
of the set: 750 people, 19,732 images), Duke (its evaluation page: 702 people and 408 distractors,
2,228 + 17,661 images), MSMT17 (1,041 of the 4,101 people are for training, 32,621 of the 126,441
images).
"""

from __future__ import annotations

from dataclasses import dataclass

from bagreid.catalog.published import PUBLISHED
from bagreid.catalog.statistics import Statistics

HERE = "this archive"
"""How the archive at hand is called beside the others."""

BENCHMARK = "SYSU-30k"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A column of the release's Table 1; ``None`` where nothing is published or fixed."""

    name: str
    identities: int
    scene: str | None
    annotation: str
    cameras: str | None
    images: int
    test_identities: int | None = None
    test_images: int | None = None


_TRAIN_IDENTITIES = PUBLISHED["train folders"]
_TEST_IMAGES = PUBLISHED["query images"] + PUBLISHED["gallery images"]

PUBLISHED_SETS = (
    DataSet(
        name="CUHK03", identities=1_467, scene="in", annotation="strong", cameras="2", images=28_192
    ),
    DataSet(
        name="Market-1501",
        identities=1_501,
        scene="out",
        annotation="strong",
        cameras="6",
        images=32_668,
        test_identities=750,
        test_images=19_732,
    ),
    DataSet(
        name="Duke",
        identities=1_812,
        scene="out",
        annotation="strong",
        cameras="8",
        images=36_411,
        test_identities=702 + 408,
        test_images=2_228 + 17_661,
    ),
    DataSet(
        name="MSMT17",
        identities=4_101,
        scene="in+out",
        annotation="strong",
        cameras="15",
        images=126_441,
        test_identities=4_101 - 1_041,
        test_images=126_441 - 32_621,
    ),
    DataSet(
        name="CUHK01", identities=971, scene="in", annotation="strong", cameras="10", images=3_884
    ),
    DataSet(
        name="PRID", identities=934, scene="out", annotation="strong", cameras="2", images=1_134
    ),
    DataSet(
        name="VIPeR", identities=632, scene="out", annotation="strong", cameras="2", images=1_264
    ),
    DataSet(name="CAVIAR", identities=72, scene="in", annotation="strong", cameras="2", images=610),
    DataSet(
        name=BENCHMARK,
        identities=PUBLISHED["identities"],
        scene="in+out",
        annotation="weak",
        cameras="countless",
        images=PUBLISHED["images"],
        test_identities=PUBLISHED["identities"] - _TRAIN_IDENTITIES,
        test_images=_TEST_IMAGES,
    ),
)
"""The release's Table 1, in its order."""

IMAGENET = DataSet(
    name="ImageNet-1k",
    identities=1_000,
    scene=None,
    annotation="strong",
    cameras=None,
    images=1_280_000,
)
"""The other side of the release's Table 2."""


def this_archive(statistics: Statistics) -> DataSet:
    """The archive at hand as one more column.

    Args:
        statistics: Its numbers.

    Returns:
        What is there; no file says anything of the scene, and only test images carry a camera.
    """
    cameras = statistics.camera_numbers
    return DataSet(
        name=HERE,
        identities=statistics.here("identities"),
        scene=None,
        annotation="strong" if statistics.labelled else "weak" if statistics.has_bags else "none",
        cameras=f"{len(cameras)} in the test set" if cameras else None,
        images=statistics.here("images"),
        test_identities=statistics.test_identities,
        test_images=statistics.test_images,
    )
