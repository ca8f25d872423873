"""What can be wrong with an archive, one function each, and what verify must say of it.

They spoil a synthetic archive of eight people: `train/…part1.tar` holds folders 1 to 4 and part 2
folders 5 to 8, with six images each; the test tar holds 4 queries, their 4 matches and 8
distractors; there are 24 bags. Tars are taken apart and packed by Python's own tarfile.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bagreid.data.synthetic import SyntheticConfig

CONFIG = SyntheticConfig(
    people=8, images_per_folder=6, queries=4, distractors=8, shortest_edge=32, seed=3
)
PART1 = "train/sysu_train_set_all_part1.tar"
PART2 = "train/sysu_train_set_all_part2.tar"
TEST = "test/sysu_test_set_all.tar"
BAGS = "bag_level_label.json"
PICTURE = "sysu_test_set_all/gallery/0000others/0000others_c1_8.jpg"

Found = dict[str, tuple[int, int | None]]
"""Key of each verdict that is not ok → (here, expected)."""


@dataclass(frozen=True)
class Damage:
    """One way to spoil an archive.

    Attributes:
        name: What was done, for the table.
        do: Does it to the archive at a path.
        finds: Every verdict that is not ok afterwards (beside the known note on bags).
        says: What must stand in the sentence or the examples of those verdicts.
        harmless: Whether notes are all that comes of it, and the exit code 0.
    """

    name: str
    do: Callable[[Path], object]
    finds: Found
    says: tuple[str, ...] = ()
    harmless: bool = False


# --- tars, byte by byte -----------------------------------------------------------------------


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def cut(tar: str, member: int, where: Callable[[tarfile.TarInfo], int]) -> Callable[[Path], object]:
    """Cuts a tar at a place that its n-th member tells."""

    def do(root: Path) -> None:
        path = root / tar
        path.write_bytes(path.read_bytes()[: where(members(path)[member])])

    return do


def padded(member: tarfile.TarInfo) -> int:
    return member.offset_data + (member.size + 511) // 512 * 512


def write_at(tar: str, member: int, place: int, data: bytes, *, sign: bool = True) -> Any:
    """Overwrites bytes of a member's header, with a right checksum if `sign`."""

    def do(root: Path) -> None:
        path = root / tar
        raw = bytearray(path.read_bytes())
        start = members(path)[member].offset
        raw[start + place : start + place + len(data)] = data
        if sign:
            raw[start + 148 : start + 156] = b" " * 8
            total = sum(raw[start : start + 512])
            raw[start + 148 : start + 156] = b"%06o\0 " % total
        path.write_bytes(raw)

    return do


def fill(tar: str, make: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        path = root / tar
        path.write_bytes(make(path.read_bytes()))

    return do


def hole(root: Path) -> None:
    """Part 2 with nothing but zeros from folder 7 to its last member but one."""
    path = root / PART2
    raw, there = bytearray(path.read_bytes()), members(path)
    start, stop = there[12].offset, there[23].offset
    raw[start:stop] = bytes(stop - start)
    path.write_bytes(raw)


def half_reserved(root: Path) -> None:
    """A download that reserved its space at once and then stopped inside folder 7."""
    path = root / PART2
    start = members(path)[12].offset
    path.write_bytes(path.read_bytes()[:start] + bytes(40 << 20))


def compress(root: Path) -> None:
    path = root / PART2
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


# --- tars, member by member -------------------------------------------------------------------


def repack(
    tar: str, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], object]
) -> Callable[[Path], object]:
    """Unpacks a tar, changes the list of its members in place, and packs it again."""

    def do(root: Path) -> None:
        path = root / tar
        held = []
        with tarfile.open(path) as source:
            for member in source:
                file = source.extractfile(member)
                held.append((member, file.read() if file else b""))
        change(held)
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as target:
            for member, data in held:
                target.addfile(member, io.BytesIO(data))

    return do


def add(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", link: str = "") -> Any:
    def change(held: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = kind, len(data), link
        held.append((member, data))

    return change


def drop_folder(held: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    held[:] = [entry for entry in held if "/0000000003/" not in entry[0].name]


def rename(old: str, new: str) -> Any:
    def change(held: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for member, _ in held:
            member.name = member.name.replace(old, new)

    return change


def link_for(name: str, kind: bytes) -> Any:
    """The member of that name is a link instead of an image."""

    def change(held: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for place, (member, _) in enumerate(held):
            if member.name == name:
                member.type, member.size, member.linkname = kind, 0, held[0][0].name
                held[place] = (member, b"")

    return change


def rename_everywhere(old: str, new: str) -> Callable[[Path], object]:
    """Renames a test image in the tar, its list and the truth."""

    def do(root: Path) -> None:
        repack(TEST, rename(old, new))(root)
        for name in ("query.txt", "gallery.txt", "truth.csv"):
            path = root / name
            path.write_text(path.read_text().replace(old, new))

    return do


def move_duplicate(root: Path) -> None:
    """The first image of part 1 lies in part 2 too."""
    with tarfile.open(root / PART1) as tar:
        first = tar.getmembers()[0]
        file = tar.extractfile(first)
        assert file is not None
        data = file.read()
    repack(PART2, add(first.name, data=data))(root)


def paint(make: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Changes the bytes of the last test image, not their number."""

    def do(root: Path) -> None:
        path = root / TEST
        member = members(path)[-1]
        assert member.name == PICTURE
        raw = bytearray(path.read_bytes())
        place = slice(member.offset_data, member.offset_data + member.size)
        made = make(bytes(raw[place]))
        assert len(made) == member.size
        assert made != raw[place]
        raw[place] = made
        path.write_bytes(raw)

    return do


def scan_start(jpeg: bytes) -> int:
    """Where the compressed pixels begin."""
    at = jpeg.index(b"\xff\xda")
    return at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")


def half(jpeg: bytes) -> bytes:
    return jpeg[: len(jpeg) // 2] + bytes(len(jpeg) - len(jpeg) // 2)


def zero_run(jpeg: bytes) -> bytes:
    at = scan_start(jpeg)
    return jpeg[: at + 40] + bytes(len(jpeg) - at - 42) + jpeg[-2:]


def flip_huffman_table(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xc4") + 5
    return jpeg[:at] + bytes([jpeg[at] ^ 0xFF]) + jpeg[at + 1 :]


# --- lists, bags, truth -----------------------------------------------------------------------


def lines(file: str, change: Callable[[list[str]], object]) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        path = root / file
        text = path.read_text().splitlines()
        change(text)
        path.write_text("".join(f"{line}\n" for line in text))

    return do


def bags(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        path = root / BAGS
        there = json.loads(path.read_text())
        change(there)
        path.write_text(json.dumps(there))

    return do


def without_folder_8(there: list[dict[str, Any]]) -> None:
    there[:] = [bag for bag in there if "0000000008/*" not in bag["BagImages"]]


def as_text(there: list[dict[str, Any]]) -> None:
    there[2]["BagLabel"] = [str(number) for number in there[2]["BagLabel"]]


def remove(*names: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return do


GONE_2: Found = {"lists.train.absent": (2, 0), "truth.absent": (2, 0)}
"""What the loss of two images of folder 8 leaves to find."""

GONE_12: Found = {
    "folders.numbers": (6, 8),
    "lists.train.absent": (12, 0),
    "bags.absent_folders": (2, 0),
    "bags.identities": (2, 0),
    "truth.absent": (12, 0),
}
"""What the loss of folders 7 and 8 leaves to find."""

GONE_24: Found = {
    "folders.numbers": (4, 8),
    "lists.train.absent": (24, 0),
    "bags.absent_folders": (4, 0),
    "bags.identities": (4, 0),
    "truth.absent": (24, 0),
}
"""What the loss of a train tar leaves to find."""

NOT_WHOLE: Found = {"tars.whole": (2, 3)}
BROKEN: Found = {"pixels.broken": (1, 0)}

DAMAGES = [
    # tars
    Damage(
        "a tar cut inside a header",
        cut(PART2, 22, lambda member: member.offset + 100),
        NOT_WHOLE | GONE_2,
        ("part2.tar", "412 bytes", "0000000008_000004.jpg"),
    ),
    Damage(
        "a tar cut inside an image",
        cut(PART2, 12, lambda member: member.offset_data + 1000),
        NOT_WHOLE | GONE_12,
        ("706 of its 1,706 bytes are missing", "12 members", "0000000006_000006.jpg"),
    ),
    Damage(
        "a tar cut between two members",
        cut(PART2, 22, lambda member: member.offset),
        NOT_WHOLE | GONE_2,
        ("no end mark", "22 members", "0000000008_000004.jpg"),
    ),
    Damage(
        "a tar without its end blocks",
        cut(PART2, 23, padded),
        NOT_WHOLE,
        ("no end mark", "24 members", "0000000008_000006.jpg"),
    ),
    Damage(
        "a bit flipped in a header's checksum",
        write_at(PART2, 22, 150, b"7", sign=False),
        NOT_WHOLE | GONE_2,
        ("checksum", "0000000008_000004.jpg"),
    ),
    Damage(
        "a bit flipped in a member's name",
        write_at(PART2, 22, 30, b"!", sign=False),
        NOT_WHOLE | GONE_2,
        ("checksum",),
    ),
    Damage(
        "an absurd size in a header",
        write_at(PART2, 22, 124, b"\x80" + (1 << 50).to_bytes(11, "big")),
        NOT_WHOLE | GONE_2,
        ("absurd",),
    ),
    Damage(
        "a negative size in a header",
        write_at(PART2, 22, 124, (-4096).to_bytes(12, "big", signed=True)),
        NOT_WHOLE | GONE_2,
        ("negative",),
    ),
    Damage(
        "a download stopped in reserved space (zeros to the end)",
        half_reserved,
        NOT_WHOLE | GONE_12,
        ("zero",),
    ),
    Damage(
        "a hole of zeros inside a tar",
        hole,
        {"tars.after_end": (26_624, 0)} | GONE_12,
        ("part2.tar",),
    ),
    Damage(
        "a second tar glued behind the end",
        fill(PART2, lambda raw: raw + raw[:4096]),
        {"tars.after_end": (7_680, 0)},
        ("part2.tar",),
    ),
    Damage("part 1 missing", remove(PART1), {"tars.parts": (1, 2)} | GONE_24, ("part 1",)),
    Damage(
        "all train tars missing",
        remove(PART1, PART2),
        {
            "folders.numbers": (0, 8),
            "lists.train.absent": (48, 0),
            "bags.absent_folders": (8, 0),
            "bags.identities": (8, 0),
            "truth.absent": (48, 0),
        },
        ("1-8",),
    ),
    Damage(
        "the test tar missing",
        remove(TEST),
        {
            "test.images": (0, None),
            "lists.query.absent": (4, 0),
            "lists.gallery.absent": (12, 0),
            "truth.absent": (16, 0),
        },
    ),
    Damage("an empty tar", fill(PART2, lambda _: b""), NOT_WHOLE | GONE_24, ("0 bytes",)),
    Damage("gzip bytes in a tar", fill(PART2, gzip.compress), NOT_WHOLE | GONE_24, ("gzip",)),
    Damage(
        "a tar packed as .tar.gz",
        compress,
        {"tars.compressed": (1, 0)} | GONE_24,
        ("part2.tar.gz",),
    ),
    Damage(
        "a web page in place of a tar",
        fill(PART2, lambda _: b"<!DOCTYPE html><html>Quota exceeded</html>" * 40),
        NOT_WHOLE | GONE_24,
        ("web page",),
    ),
    # members
    Damage(
        "the same image in two tars",
        move_duplicate,
        {"images.duplicates": (1, 0)},
        ("part2.tar: 1 of its 25",),
    ),
    Damage(
        "a member named ../../evil.jpg",
        repack(PART2, add("../../evil.jpg", data=b"x")),
        {"tars.unsafe_names": (1, 0)},
        ("../../evil.jpg",),
    ),
    Damage(
        "a member with an absolute name",
        repack(PART2, add("/etc/evil.jpg", data=b"x")),
        {"tars.unsafe_names": (1, 0)},
        ("/etc/evil.jpg",),
    ),
    Damage(
        "a symbolic link in place of an image",
        repack(PART2, link_for("sysu_train_set_all/0000000008/0000000008_000006.jpg", b"2")),
        {"tars.not_files": (1, 0), "lists.train.absent": (1, 0), "truth.absent": (1, 0)},
        ("symbolic link: 1", "0000000008_000006.jpg"),
    ),
    Damage(
        "a hard link in place of an image",
        repack(PART2, link_for("sysu_train_set_all/0000000008/0000000008_000006.jpg", b"1")),
        {"tars.not_files": (1, 0), "lists.train.absent": (1, 0), "truth.absent": (1, 0)},
        ("hard link: 1", "0000000008_000006.jpg"),
    ),
    Damage(
        "a device among the members",
        repack(PART1, add("sysu_train_set_all/0000000001/null", tarfile.CHRTYPE)),
        {"tars.not_files": (1, 0)},
        ("character device: 1",),
    ),
    Damage(
        "an image outside all folders",
        repack(PART2, rename("0000000008/0000000008_000006.jpg", "stray.jpg")),
        {"images.unplaced": (1, 0), "lists.train.absent": (1, 0), "truth.absent": (1, 0)},
        ("sysu_train_set_all/stray.jpg",),
    ),
    Damage(
        "files that are no images",
        repack(PART2, add("sysu_train_set_all/0000000005/Thumbs.db", data=b"x")),
        {"images.others": (1, 0)},
        harmless=True,
    ),
    Damage(
        "directories among the members (which is no damage)",
        repack(PART2, add("sysu_train_set_all/0000000005", tarfile.DIRTYPE)),
        {},
        harmless=True,
    ),
    # folders
    Damage(
        "a folder missing",
        repack(PART1, drop_folder),
        {
            "folders.numbers": (7, 8),
            "lists.train.absent": (6, 0),
            "bags.absent_folders": (1, 0),
            "bags.identities": (1, 0),
            "truth.absent": (6, 0),
        },
        ("1 folder missing, which the bag file names: 3", "0000000003"),
    ),
    Damage(
        "a folder renamed",
        repack(PART1, rename("/0000000003/", "/0000000003_old/")),
        {
            "folders.numbers": (7, 8),
            "folders.names": (1, 0),
            "lists.train.absent": (6, 0),
            "lists.train.unlisted": (6, 0),
            "bags.absent_folders": (1, 0),
            "bags.lonely_folders": (1, 0),
            "bags.identities": (1, 0),
            "truth.absent": (6, 0),
            "truth.missing": (6, 0),
        },
        ("0000000003_old",),
    ),
    # lists
    Damage(
        "a line missing from the train list",
        lines("train.txt", lambda text: text.pop(5)),
        {"lists.train.unlisted": (1, 0)},
        ("0000000001_000006.jpg",),
    ),
    Damage(
        "a line too many in the gallery list",
        lines("gallery.txt", lambda text: text.append(PICTURE.replace("_8.", "_9."))),
        {"lists.gallery.absent": (1, 0)},
        ("0000others_c1_9.jpg",),
    ),
    Damage(
        "a list in another encoding",
        lambda root: (root / "query.txt").write_text(
            (root / "query.txt").read_text(), encoding="utf-16"
        ),
        {"lists.readable": (1, 0)},
        ("query.txt",),
    ),
    Damage(
        "a line repeated in the train list",
        lines("train.txt", lambda text: text.append(text[0])),
        {"lists.train.repeated": (1, 0)},
        harmless=True,
    ),
    Damage(
        "no train list",
        remove("train.txt"),
        {"lists.files": (1, 0)},
        ("train",),
        harmless=True,
    ),
    # bags
    Damage(
        "a bag file cut in the middle",
        fill(BAGS, lambda raw: raw[: len(raw) // 2]),
        {"bags.file": (0, 1)},
        ("bag_level_label.json",),
    ),
    Damage(
        "a bag of single images instead of a folder",
        bags(lambda there: there[4].update(BagImages=["0000000002/0*.jpg"])),
        {"bags.file": (0, 1)},
        ("object 4", "0*.jpg"),
    ),
    Damage(
        "a bag naming an absent folder",
        bags(lambda there: there[0]["BagImages"].append("0000000099/*")),
        {
            "folders.numbers": (8, 9),
            "bags.absent_folders": (1, 0),
            "bags.windows": (23, 24),
            "bags.labels": (1, 0),
        },
        ("0000000099", "folder 1"),
    ),
    Damage(
        "a bag missing",
        bags(lambda there: there.pop(10)),
        {"bags.windows": (23, 24), "bags.gaps": (1, 0)},
        ("folders 3-5", "between 12 and 14"),
    ),
    Damage(
        "the last bag missing",
        bags(lambda there: there.pop()),
        {"bags.windows": (23, 24)},
        ("folders 6-8",),
    ),
    Damage(
        "a bag twice",
        bags(lambda there: there.append(there[7])),
        {"bags.repeated": (1, 0)},
    ),
    Damage(
        "a folder in no bag",
        bags(without_folder_8),
        {"bags.windows": (18, 24), "bags.gaps": (1, 0), "bags.lonely_folders": (1, 0)},
        ("0000000008",),
    ),
    Damage(
        "an identity without images",
        bags(lambda there: there[4]["BagLabel"].append(99)),
        {"bags.identities": (1, 0), "bags.labels": (1, 0)},
        ("99", "bag0000000007"),
    ),
    Damage(
        "numbers as text in a bag",
        bags(as_text),
        {"bags.spelling": (5, 0)},
        harmless=True,
    ),
    Damage(
        "no bag file",
        remove(BAGS),
        {"bags.file": (0, 1)},
        ("no bag file",),
        harmless=True,
    ),
    # test set
    Damage(
        "a query without a match",
        rename_everywhere("gallery/000000009/000000009_c1", "gallery/000000099/000000099_c1"),
        {"test.matches": (3, 4)},
        ("000000009_c2_1.jpg (0 matches)",),
    ),
    Damage(
        "a query with two matches",
        rename_everywhere("0000others/0000others_c1_1.", "000000009/000000009_c1_2."),
        {"test.several": (1, 0)},
        ("000000009_c2_1.jpg (2 matches)",),
    ),
    Damage(
        "a gallery image renamed to the queries' camera",
        rename_everywhere("000000009_c1_1.jpg", "000000009_c2_9.jpg"),
        {"test.matches": (3, 4), "test.cameras": (1, 0)},
        ("gallery/000000009/000000009_c2_9.jpg",),
    ),
    Damage(
        "a query named as a distractor",
        rename_everywhere("query/000000009/000000009_c2_1", "query/0000others/0000others_c2_1"),
        {"test.matches": (3, 4), "test.nobody": (1, 0)},
        ("0000others_c2_1.jpg (0 matches)",),
    ),
    Damage(
        "a test name that says nothing",
        repack(TEST, rename("0000others_c1_3.jpg", "others-3.jpg")),
        {"test.names": (1, 0), "lists.gallery.absent": (1, 0), "truth.absent": (1, 0)},
        ("others-3.jpg", "0000others_c1_3.jpg"),
    ),
    # truth
    Damage(
        "a truth of other images",
        lines("truth.csv", lambda text: text.__setitem__(3, text[3].replace("_00000", "_90000"))),
        {"truth.absent": (1, 0), "truth.missing": (1, 0)},
    ),
    Damage(
        "a truth that is no table",
        lambda root: (root / "truth.csv").write_text("who,when\n1,2\n"),
        {"truth.readable": (1, 0)},
        ("truth.csv",),
    ),
    # pixels
    Damage("an image of zeros", paint(lambda jpeg: bytes(len(jpeg))), BROKEN, ("neither",)),
    Damage("an image whose second half is zeros", paint(half), BROKEN, (PICTURE,)),
    Damage("an image with zeros among its pixels", paint(zero_run), BROKEN, ("pixels are lost",)),
    Damage("a flipped byte in an image's Huffman table", paint(flip_huffman_table), BROKEN),
    Damage("a flipped first byte", paint(lambda jpeg: b"\x00" + jpeg[1:]), BROKEN, ("neither",)),
    Damage(
        "text in place of an image",
        paint(lambda jpeg: (b"404 not found " * 500)[: len(jpeg)]),
        BROKEN,
    ),
]


def copy(archive: Path, to: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(archive, to))
