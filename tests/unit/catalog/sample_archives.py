"""Small archives in every layout, packed by Python's own tarfile."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDERS = 5


def jpeg(name: str) -> bytes:
    """Something that begins and ends like a JPEG, different for each name."""
    return b"\xff\xd8\xff\xe0" + name.encode() * (1 + len(name) % 7) + b"\xff\xd9"


def write_tar(path: Path, names: Iterable[str], tar_format: int = tarfile.USTAR_FORMAT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(jpeg(name))
            tar.addfile(info, io.BytesIO(jpeg(name)))


def write_files(base: Path, names: Iterable[str]) -> None:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(name))


@dataclass
class Contents:
    """What the test archives hold, whatever their layout."""

    train: list[str] = field(default_factory=list)
    query: list[str] = field(default_factory=list)
    gallery: list[str] = field(default_factory=list)
    bags: list[dict[str, Any]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [*self.train, *self.query, *self.gallery]

    def write_lists(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for split in ("train", "query", "gallery"):
            lines = "".join(f"{name}\n" for name in getattr(self, split))
            (place / f"{split}.txt").write_text(lines)

    def write_old_lists(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        (place / "train.txt").write_text("\n".join(self.train))
        (place / "val.txt").write_text("\r\n".join([*self.gallery, *self.query]) + "\r\n")

    def write_bags(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.bags))

    def write_tars(self, base: Path, parts: int = 2) -> None:
        folders = sorted({name.split("/")[1] for name in self.train})
        for part in range(parts):
            mine = set(folders[part * len(folders) // parts : (part + 1) * len(folders) // parts])
            names = [name for name in self.train if name.split("/")[1] in mine]
            write_tar(base / "train" / f"sysu_train_set_all_part{part + 1}.tar", names)
        write_tar(base / "test" / "sysu_test_set_all.tar", [*self.gallery, *self.query])


def make_contents() -> Contents:
    contents = Contents()
    for folder in range(1, FOLDERS + 1):
        contents.train += [f"sysu_train_set_all/{folder:010d}/{n:03d}_01.jpg" for n in range(3)]
    for pid in (6, 7):
        contents.query += [
            f"sysu_test_set_all/query/{pid:09d}/{pid:09d}_c2_{n}.jpg" for n in (1, 2)
        ]
        contents.gallery.append(f"sysu_test_set_all/gallery/{pid:09d}/{pid:09d}_c1_1.jpg")
    contents.gallery += [
        f"sysu_test_set_all/gallery/0000others/0000others_c1_{n}.jpg" for n in range(1, 5)
    ]
    contents.gallery.append("sysu_test_set_all/gallery/-1/-1_c13_1.jpg")
    for folder in range(1, FOLDERS + 1):
        for width in (0, 1, 2):
            around = [min(max(n, 1), FOLDERS) for n in range(folder - width, folder + width + 1)]
            contents.bags.append(
                {
                    "BagLabel": around,
                    "BagID": f"bag{len(contents.bags):010d}",
                    "BagImages": [f"{n:010d}/*" for n in around],
                }
            )
    return contents


def downloaded_lists_at_root(root: Path, contents: Contents) -> Path:
    contents.write_tars(root)
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


def downloaded_lists_in_meta(root: Path, contents: Contents) -> Path:
    contents.write_tars(root)
    contents.write_lists(root / "meta")
    contents.write_bags(root / "bag_level_label.json")
    return root


def downloaded_bag_file_in_meta(root: Path, contents: Contents) -> Path:
    contents.write_tars(root)
    contents.write_lists(root / "meta")
    contents.write_bags(root / "meta" / "bag_level_label.json")
    return root


def downloaded_seen_from_outside(root: Path, contents: Contents) -> Path:
    downloaded_lists_at_root(root / "sysu-30k-released", contents)
    return root


def older_outer(root: Path, contents: Contents) -> Path:
    base = root / "SYSU-30k-released" / "imagenet"
    write_files(base, contents.names)
    contents.write_old_lists(base / "meta")
    contents.write_bags(root / "SYSU-30k-released" / "bag_level_label.txt")
    return root / "SYSU-30k-released"


def older_inner(root: Path, contents: Contents) -> Path:
    return older_outer(root, contents) / "imagenet"


def older_from_above(root: Path, contents: Contents) -> Path:
    older_outer(root, contents)
    return root


def older_in_tars(root: Path, contents: Contents) -> Path:
    base = root / "SYSU-30k-released" / "imagenet"
    contents.write_tars(base)
    contents.write_old_lists(base / "meta")
    contents.write_bags(base / "meta" / "bag_level_label.txt")
    return root


def newer_outer(root: Path, contents: Contents) -> Path:
    base = root / "SYSU-30k-released" / "SYSU-30k-released"
    write_files(base, contents.names)
    contents.write_lists(base / "meta")
    contents.write_bags(root / "SYSU-30k-released" / "bag_level_label.json")
    return root / "SYSU-30k-released"


def newer_inner(root: Path, contents: Contents) -> Path:
    return newer_outer(root, contents) / "SYSU-30k-released"


def through_a_link(root: Path, contents: Contents) -> Path:
    downloaded_lists_at_root(root / "elsewhere" / "big", contents)
    (root / "data").mkdir()
    (root / "data" / "SYSU-30k-released").symlink_to(root / "elsewhere" / "big")
    return root / "data" / "SYSU-30k-released"


def project_with_data_folder(root: Path, contents: Contents) -> Path:
    through_a_link(root, contents)
    return root


def link_to_the_inner_folder(root: Path, contents: Contents) -> Path:
    inner = older_inner(root / "elsewhere", contents)
    (root / "mylink").symlink_to(inner)
    return root / "mylink"


def extracted_beside_the_tars_place(root: Path, contents: Contents) -> Path:
    write_files(root / "train", contents.train)
    write_files(root / "test", [*contents.query, *contents.gallery])
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


def train_in_tars_test_extracted(root: Path, contents: Contents) -> Path:
    contents.write_tars(root)
    (root / "test" / "sysu_test_set_all.tar").unlink()
    write_files(root, [*contents.query, *contents.gallery])
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


def train_extracted_test_in_a_tar(root: Path, contents: Contents) -> Path:
    write_files(root, contents.train)
    write_tar(root / "test" / "sysu_test_set_all.tar", [*contents.query, *contents.gallery])
    contents.write_lists(root / "meta")
    contents.write_bags(root / "bag_level_label.json")
    return root


def tars_and_extracted_files(root: Path, contents: Contents) -> Path:
    downloaded_lists_at_root(root, contents)
    write_files(root, contents.names)
    return root


def tars_at_the_root(root: Path, contents: Contents) -> Path:
    contents.write_tars(root)
    for tar in [*(root / "train").iterdir(), *(root / "test").iterdir()]:
        tar.rename(root / tar.name)
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


def names_below_another_folder(root: Path, contents: Contents) -> Path:
    def below(names: list[str]) -> list[str]:
        return [f"./imagenet/{name}" for name in names]

    write_tar(root / "train" / "all.tar", below(contents.train))
    write_tar(root / "test" / "all.tar", below([*contents.gallery, *contents.query]))
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


def bare_names_in_tars(root: Path, contents: Contents) -> Path:
    train = [name.removeprefix("sysu_train_set_all/") for name in contents.train]
    test = [name.removeprefix("sysu_test_set_all/") for name in contents.names[len(train) :]]
    write_tar(root / "train" / "part1.tar", train)
    write_tar(root / "test" / "test.tar", test)
    contents.write_lists(root)
    contents.write_bags(root / "bag_level_label.json")
    return root


Maker = Callable[[Path, Contents], Path]

LAYOUTS: dict[str, tuple[Maker, str]] = {
    maker.__name__: (maker, layout)
    for maker, layout in [
        (downloaded_lists_at_root, "tars, names of the newer README"),
        (downloaded_lists_in_meta, "tars, names of the newer README"),
        (downloaded_bag_file_in_meta, "tars, names of the newer README"),
        (downloaded_seen_from_outside, "tars, names of the newer README"),
        (older_outer, "extracted files, names of the older README"),
        (older_inner, "extracted files, names of the older README"),
        (older_from_above, "extracted files, names of the older README"),
        (older_in_tars, "tars, names of the older README"),
        (newer_outer, "extracted files, names of the newer README"),
        (newer_inner, "extracted files, names of the newer README"),
        (through_a_link, "tars, names of the newer README"),
        (project_with_data_folder, "tars, names of the newer README"),
        (link_to_the_inner_folder, "extracted files, names of the older README"),
        (extracted_beside_the_tars_place, "extracted files, names of the newer README"),
        (train_in_tars_test_extracted, "tars and extracted files, names of the newer README"),
        (train_extracted_test_in_a_tar, "tars and extracted files, names of the newer README"),
        (tars_and_extracted_files, "tars and extracted files, names of the newer README"),
        (tars_at_the_root, "tars, names of the newer README"),
        (names_below_another_folder, "tars, names of the newer README"),
        (bare_names_in_tars, "tars, names of the newer README"),
    ]
}
