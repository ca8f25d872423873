"""Which figures an archive gets, and what they say."""

from __future__ import annotations

import numpy as np

from bagreid.catalog.image_sizes import ImageSizes
from bagreid.catalog.statistics import Statistics
from bagreid.catalog.tally import Tally
from bagreid.report.statistics.columns import columns
from bagreid.report.statistics.comparison import Entry, comparison
from bagreid.report.statistics.datasets import PUBLISHED_SETS, this_archive
from bagreid.report.statistics.histogram import Kind, Reference, Words, histogram
from bagreid.report.statistics.marks import Figure
from bagreid.report.statistics.sizes import size_map
from bagreid.report.wording import count

_FEW = 24
_KB = 1000
_KINDS = 3
_RELEASED_EDGE = 144


def figure_1a(statistics: Statistics) -> Figure | None:
    """Bags by the number of their images, stacked by the number of their folders."""
    if not statistics.has_bags:
        return None
    widths, counts = np.unique(statistics.bag_folders, return_counts=True)
    common = np.sort(widths[np.argsort(-counts, kind="stable")[:_KINDS]]).tolist()
    kinds = [
        Kind(
            name=count(width, "folder"),
            tally=Tally.of([statistics.bag_images[statistics.bag_folders == width]]),
            tone=f"s{place}",
        )
        for place, width in enumerate(common)
    ]
    rest = statistics.bag_images[~np.isin(statistics.bag_folders, common)]
    if len(rest):
        kinds.append(Kind(name="others", tally=Tally.of([rest]), tone="s4"))
    words = Words(
        name="figure1a-bags",
        title="Figure 1 (a): bags by the number of their images",
        note="Published for SYSU-30k: most bags hold near 500 images, some up to 10,000.",
        values="images in the bag",
        things="bags",
        thing="bag",
    )
    mode = Reference(value=500, text="published mode, about 500")
    return histogram(words, kinds, reference=mode)


def figure_1b(statistics: Statistics) -> Figure:
    """Images of the data sets, in all and for testing."""
    sets = (*PUBLISHED_SETS, this_archive(statistics))
    return comparison(
        "figure1b-images",
        "Figure 1 (b): images, in all and for testing",
        "Test parts where a set fixes one split.",
        "images",
        [Entry(name=s.name, total=s.images, test=s.test_images) for s in sets],
    )


def figure_1c(statistics: Statistics) -> Figure:
    """Identities of the data sets, in all and for testing."""
    sets = (*PUBLISHED_SETS, this_archive(statistics))
    return comparison(
        "figure1c-identities",
        "Figure 1 (c): people, in all and for testing",
        "Identities that carry a number; distractors have none.",
        "people",
        [Entry(name=s.name, total=s.identities, test=s.test_identities) for s in sets],
    )


def bag_figures(statistics: Statistics) -> list[Figure]:
    """Images a folder, and bags an image."""
    figures = []
    if len(statistics.folder_images):
        words = Words(
            name="images-per-folder",
            title="Train folders by the number of their images",
            note="In SYSU-30k a folder is a stretch of video, mostly but not only of one person.",
            values="images in the folder",
            things="folders",
            thing="folder",
        )
        figures.append(histogram(words, [_plain(Tally.of([statistics.folder_images]))]))
    if statistics.has_bags and len(statistics.image_bags):
        words = Words(
            name="bags-per-image",
            title="Train images by the number of bags they lie in",
            note="In SYSU-30k a folder lies in up to nine bags: bags split at random share images.",
            values="bags the image lies in",
            things="images",
            thing="image",
        )
        kind = _plain(statistics.image_bags)
        if kind.tally.most < _FEW:
            figures.append(columns(words, [kind], range(kind.tally.most + 1)))
        else:
            figures.append(histogram(words, [kind]))
    return figures


def image_figures(statistics: Statistics, sizes: ImageSizes) -> list[Figure]:
    """Height and width, shortest edge, bytes and cameras of the images."""
    figures = []
    if len(sizes.count):
        figures.append(size_map(sizes, sample_note(sizes)))
        words = Words(
            name="shortest-edge",
            title="Images by their shorter edge",
            note="The released train images are scaled down to 144 pixels, from 288.",
            values="pixels",
            things="images",
            thing="image",
        )
        edge = Reference(value=_RELEASED_EDGE, text=f"release, {_RELEASED_EDGE}")
        figures.append(
            histogram(words, [_plain(sizes.shortest_edges())], reference=edge, from_zero=False)
        )
    if len(statistics.image_bytes):
        large = statistics.image_bytes.quantile(0.99) >= 20 * _KB
        words = Words(
            name="bytes-per-image",
            title="Images by the size of their file",
            note="Every image of the archive is counted.",
            values="kB" if large else "bytes",
            things="images",
            thing="image",
        )
        figures.append(histogram(words, [_plain(statistics.image_bytes)], unit=_KB if large else 1))
    return figures + _camera_figures(statistics)


def _camera_figures(statistics: Statistics) -> list[Figure]:
    numbers = statistics.camera_numbers
    if not numbers:
        return []
    words = Words(
        name="cameras",
        title="Test images by camera",
        note="As the names of the test images say; train images carry no camera.",
        values="camera",
        things="images",
        thing="image",
    )
    kinds = [
        Kind(name="query", tally=statistics.cameras["query"], tone="s1"),
        Kind(name="gallery", tally=statistics.cameras["gallery"], tone="s0"),
    ]
    return [columns(words, kinds, numbers)]


def sample_note(sizes: ImageSizes) -> str:
    """Of how many images the sizes are."""
    if sizes.seed is None:
        return f"All {count(sizes.asked, 'image')}."
    return f"A sample of {count(sizes.asked)} of {count(sizes.images)} images."


def _plain(tally: Tally) -> Kind:
    return Kind(name="", tally=tally, tone="s0")
