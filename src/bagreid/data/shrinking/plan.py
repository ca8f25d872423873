"""What a shrinking will read and write: every tar and file, and what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bagreid.catalog.layouts import Layout, find_layout
from bagreid.catalog.layouts.layout import relative
from bagreid.catalog.layouts.levels import bases
from bagreid.contracts import BagreidError
from bagreid.shards.pointer import is_pointer

FOLDER = "shrink"
"""Folder in the new archive with what is known of its making."""

RECORD = "record.json"
"""File in that folder with the settings; it marks a folder as one that a shrinking may go on in."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A file of the source and its counterpart.

    Attributes:
        name: What messages and the report call it: its path below the source.
        source: The file.
        target: Where the new one goes.
    """

    name: str
    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class ShrinkPlan:
    """What a shrinking reads and writes.

    Attributes:
        source: The archive's folder, or the tar.
        out: What the user named for the new one.
        layout: The archive; None where the source is a single tar.
        tars: Tars to be shrunk, in the order in which it is done.
        copies: Lists, bag file and truth, to be copied.
        left: Files that stay behind: checkpoints and whatever else lies about.
        folder: Where journals, settings and report go.
    """

    source: Path
    out: Path
    layout: Layout | None
    tars: tuple[Pair, ...]
    copies: tuple[Pair, ...]
    left: tuple[Path, ...]
    folder: Path


def make_plan(source: Path, out: Path) -> ShrinkPlan:
    """Looks at what is there; nothing is written.

    Args:
        source: An archive's folder, or a single tar.
        out: Where the new archive goes; of a single tar, a path that ends in .tar or a folder.

    Returns:
        The plan.

    Raises:
        BagreidError: If the source is no archive of tars, or `out` is no place for the new one.
    """
    source, out = source.absolute(), out.absolute()
    plan = _archive_plan(source, out) if source.is_dir() else _tar_plan(source, out)
    _refuse_overwriting(plan, out)
    return plan


def _tar_plan(source: Path, out: Path) -> ShrinkPlan:
    if not source.exists():
        raise BagreidError(
            "there is no such archive", path=source, remedy="Name an archive's folder, or a tar"
        )
    if out.suffix.lower() == ".tar" and not out.is_dir():
        target, folder = out, out.with_name(f"{out.name}.{FOLDER}")
    else:
        target, folder = out / _new_name(source.name), out / FOLDER
    pair = Pair(source.name, source, target)
    return ShrinkPlan(source, out, None, (pair,), (), (), folder)


def _archive_plan(source: Path, out: Path) -> ShrinkPlan:
    layout = find_layout(source)
    if layout.labelled is not None:
        raise BagreidError(
            f"{layout.labelled.title} is small enough to be read as it is",
            path=layout.root,
            remedy="SYSU-30k and archives like it are shrunk, from tar to tar",
        )
    if layout.trees:
        raise BagreidError(
            "some images lie here as extracted files, and only tars are shrunk",
            path=layout.trees[0],
            remedy="Pack them: tar -cf train/sysu_train_set_all.tar sysu_train_set_all (likewise "
            "for the test set), and move the extracted files elsewhere",
        )
    paths = [tar.path for tar in layout.tars]
    _refuse_inside(layout, paths, out)
    extra = [layout.bag_file, layout.truth_file, *(entry.path for entry in layout.lists.values())]
    copies = dict.fromkeys(path for path in extra if path is not None)
    return ShrinkPlan(
        source=layout.root,
        out=out,
        layout=layout,
        tars=tuple(_pair(path, layout.root, out, _new_name(path.name)) for path in paths),
        copies=tuple(_pair(path, layout.root, out, path.name) for path in copies),
        left=tuple(_left(layout, {*paths, *copies})),
        folder=out / FOLDER,
    )


def _pair(path: Path, root: Path, out: Path, name: str) -> Pair:
    """The counterpart of a file; one from a folder around the archive comes to lie in its root."""
    inside = path.parent.relative_to(root) if path.is_relative_to(root) else Path()
    return Pair(relative(path, root), path, out / inside / name)


def _new_name(name: str) -> str:
    """A tar's name in the new archive: where only a pointer to it lay here, the tar lies there."""
    return name[: -len(".url")] if is_pointer(Path(name)) else name


def _left(layout: Layout, used: set[Path]) -> Iterator[Path]:
    """Files in the archive's own folders that are no part of it."""
    for base in bases(layout.root):
        for folder in (base, base / "train", base / "test", base / "meta"):
            if folder.is_dir():
                yield from (
                    path
                    for path in sorted(folder.iterdir())
                    if path not in used and not path.is_dir()
                )


def _refuse_inside(layout: Layout, tars: list[Path], out: Path) -> None:
    folders = [layout.root, *bases(layout.root), *(path.parent for path in tars)]
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            same = out.resolve() == folder.resolve()
            raise BagreidError(
                "the new archive would be the old one"
                if same
                else f"the new archive would lie inside the old one ({folder})",
                path=out,
                remedy="The old one is never written to: name a folder elsewhere",
            )


def _refuse_overwriting(plan: ShrinkPlan, out: Path) -> None:
    sources = {pair.source.resolve() for pair in (*plan.tars, *plan.copies)}
    targets: dict[Path, Pair] = {}
    for pair in (*plan.tars, *plan.copies):
        other = targets.setdefault(pair.target, pair)
        if other is not pair:
            raise BagreidError(
                f"'{other.name}' and '{pair.name}' would become one file",
                path=pair.target,
                remedy="Take one of them out of the archive",
            )
        if pair.target.resolve() in sources:
            raise BagreidError(
                "the new file would be an old one",
                path=pair.target,
                remedy="The old ones are never written to: name another place",
            )
    if (plan.folder / RECORD).is_file():
        return
    if out.is_dir() and any(path != plan.folder for path in out.iterdir()):
        what = "it is there already, and no shrinking was begun in it"
    elif out.exists() and not out.is_dir():
        what = "it is there already, and nothing is overwritten"
    else:
        return
    raise BagreidError(what, path=out, remedy="Choose another place, or remove it first")
