"""Pure planning of an archive: its names, its bags, and what every picture shows.

The names and the bag file follow the release of SYSU-30k (arXiv 1904.03845) as downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bagreid.data.synthetic.cameras import GALLERY_CAMERA, QUERY_CAMERA
from bagreid.data.synthetic.config import SyntheticConfig
from bagreid.data.synthetic.draws import Stream, generator
from bagreid.data.synthetic.shots import Shot

TRAIN = "sysu_train_set_all"
TEST = "sysu_test_set_all"
OTHERS = "0000others"

REACH = 2
"""How far from its own person's folder a folder's other people live."""

NEIGHBOURS: tuple[tuple[int, float], ...] = ((-2, 0.2), (-1, 0.3), (1, 0.3), (2, 0.2))
"""Offsets of the other people's folders, with their shares among the impure images."""

_FRAMES_PER_TRACK = 4
_TEST_PLACES = 8
"""Places of each test camera."""
_CHUNK = 64
"""Pictures that are made in one go; bounds the memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of the archive: its name and what it shows."""

    name: str
    shot: Shot


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of pictures of one kind: train pictures of one folder, or test pictures.

    Attributes:
        kind: ``"train"``, ``"query"`` or ``"gallery"``.
        group: Number of the folder in training, else 0.
        start: First picture.
        stop: One past the last.
    """

    kind: str
    group: int
    start: int
    stop: int


def folder_name(folder: int) -> str:
    """Train folders count from 1 and have ten digits."""
    return f"{folder:010d}"


def bag_folders(people: int) -> Iterator[tuple[int, list[int]]]:
    """The bags: number and folders, three bags a folder.

    Folder i gives the bags 3i, 3i+1 and 3i+2: of itself, of i-1 to i+1 and of i-2 to i+2. At both
    ends the numbers are clamped, so folders repeat there, as users of the release report.
    """
    for folder in range(1, people + 1):
        for reach in range(REACH + 1):
            around = range(folder - reach, folder + reach + 1)
            yield 3 * folder + reach, [min(max(near, 1), people) for near in around]


def tar_name(config: SyntheticConfig, chunk: Chunk) -> str:
    """The tar that holds a chunk, below the root; train tars hold equal runs of folders."""
    if chunk.kind != "train":
        return f"test/{TEST}.tar"
    part = (chunk.group - 1) * config.parts // config.people
    return f"train/{TRAIN}_part{part + 1}.tar"


def folder_people(config: SyntheticConfig, folder: int) -> npt.NDArray[np.int64]:
    """Who is on each picture of a train folder.

    Every track shows the folder's own person, with one run of frames in between on which a
    neighbour has walked into the picture.

    Args:
        config: Sizes and purity.
        folder: Its number, from 1.

    Returns:
        ``(images_per_folder,)`` int64, person numbers.
    """
    rng = generator(config.seed, Stream.FOLDER, folder)
    people = np.full(config.images_per_folder, folder, np.int64)
    near = [(folder + step, share) for step, share in NEIGHBOURS]
    near = [(number, share) for number, share in near if 1 <= number <= config.people]
    numbers = np.array([number for number, _ in near])
    shares = np.array([share for _, share in near])
    for start in range(0, len(people), _FRAMES_PER_TRACK):
        stop = min(start + _FRAMES_PER_TRACK, len(people))
        # Rounded at random, so that the expected share is exact on short tracks too.
        impure = int((1 - config.purity) * (stop - start) + rng.random())
        first = int(rng.integers(start, stop - impure + 1))
        people[first : first + impure] = rng.choice(numbers, p=shares / shares.sum())
    return people


def chunks(config: SyntheticConfig) -> Iterator[Chunk]:
    """All the work in archive order: train folders, queries, gallery."""
    for folder in range(1, config.people + 1):
        yield from _pieces("train", folder, config.images_per_folder)
    yield from _pieces("query", 0, config.queries)
    yield from _pieces("gallery", 0, config.queries + config.distractors)


def _pieces(kind: str, group: int, count: int) -> Iterator[Chunk]:
    for start in range(0, count, _CHUNK):
        yield Chunk(kind, group, start, min(start + _CHUNK, count))


def entries(config: SyntheticConfig, chunk: Chunk) -> list[Entry]:
    """The pictures of a chunk."""
    if chunk.kind == "train":
        return _train_entries(config, chunk)
    make = _query if chunk.kind == "query" else _gallery
    return [make(config, number) for number in range(chunk.start, chunk.stop)]


def _train_entries(config: SyntheticConfig, chunk: Chunk) -> list[Entry]:
    people = folder_people(config, chunk.group)
    name = folder_name(chunk.group)
    made = []
    for image in range(chunk.start, chunk.stop):
        track, frame = divmod(image, _FRAMES_PER_TRACK)
        rng = generator(config.seed, Stream.FOLDER, chunk.group, track, 1)
        shot = Shot(
            person=int(people[image]),
            place=int(rng.integers(config.cameras)),
            side=0,
            # A neighbour who walks in has a track of their own at the same place.
            track=(chunk.group, track, int(people[image])),
            frame=frame,
        )
        made.append(Entry(f"{TRAIN}/{name}/{name}_{image + 1:06d}.jpg", shot))
    return made


def _query(config: SyntheticConfig, number: int) -> Entry:
    pid = config.people + 1 + number
    name = f"{TEST}/query/{pid:09d}/{pid:09d}_c{QUERY_CAMERA}_1.jpg"
    return Entry(name, _test_shot(config, pid, QUERY_CAMERA, number))


def _gallery(config: SyntheticConfig, number: int) -> Entry:
    pid = config.people + 1 + number
    if number < config.queries:
        name = f"{TEST}/gallery/{pid:09d}/{pid:09d}_c{GALLERY_CAMERA}_1.jpg"
        return Entry(name, _test_shot(config, pid, GALLERY_CAMERA, number))
    rank = number - config.queries
    name = f"{TEST}/gallery/{OTHERS}/{OTHERS}_c{GALLERY_CAMERA}_{rank + 1}.jpg"
    # Two pictures of every stranger.
    stranger = config.people + config.queries + 1 + rank // 2
    return Entry(name, _test_shot(config, stranger, GALLERY_CAMERA, number))


def test_place(config: SyntheticConfig, side: int, number: int) -> int:
    """One of the places of a test camera; they differ from the train places."""
    return config.cameras + (side - 1) * _TEST_PLACES + number % _TEST_PLACES


def _test_shot(config: SyntheticConfig, pid: int, side: int, number: int) -> Shot:
    rng = generator(config.seed, Stream.TEST, side, number)
    place = test_place(config, side, int(rng.integers(_TEST_PLACES)))
    return Shot(person=pid, place=place, side=side, track=(0, side, number), frame=0)
