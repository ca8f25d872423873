"""What the builder noticed: counts of everything odd, kept beside the catalog as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

FIRST = 10
"""How many offending names are kept as examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFinding:
    """One list file against the members.

    Attributes:
        file: The list, relative to the root.
        split: What it lists.
        lines: Names in it.
        repeated: Lines that repeat an earlier one.
        absent: Names for which no image is there.
        first_absent: The first ten of them.
        unlisted: Images of the split that no line names.
        first_unlisted: The first ten of them.
    """

    file: str
    split: str
    lines: int
    repeated: int
    absent: int
    first_absent: tuple[str, ...]
    unlisted: int
    first_unlisted: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateFinding:
    """Images that two files hold both (or one file twice).

    Attributes:
        used: The file whose images are used: it comes first.
        left: The file whose images are left out.
        images: How many.
        example: Name of the first of them.
    """

    used: str
    left: str
    images: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Counts of everything odd in an archive; all zero and empty where nothing is.

    Attributes:
        notes: Sentences about what was chosen or left unused.
        skipped_members: Members that are no regular files, by kind.
        not_images: Files that are no JPEG by their name, left out.
        unplaced: Images that lie neither in a train folder nor under query/ or gallery/.
        first_unplaced: The first ten of them.
        duplicate_images: Images that came twice; the first place wins.
        duplicates: Which files held them, the ten pairs with the most of them.
        unsafe: Members with an absolute name or a `..` in it, never used or written anywhere.
        first_unsafe: The first ten of them.
        bytes_after_end: Bytes behind the end marks of tars, not read.
        lists: Each list against the members, both ways.
        duplicate_bag_labels: Repeated numbers inside a BagLabel, merged.
        duplicate_bag_folders: Repeated folders inside a BagImages, merged.
        bags_merged: Bags with any such repetition.
        repeated_bag_ids: Bags whose BagID an earlier bag has too; both are kept.
        labels_as_text: Numbers written as strings, read as numbers.
        unknown_bag_keys: Keys other than the three known ones, ignored.
        folders_in_no_bag: Train folders that no bag names.
        first_folders_in_no_bag: The first ten of them.
        truth_absent: Lines of the truth for which no train image is there.
        truth_missing: Train images without a line in the truth.
    """

    notes: tuple[str, ...] = ()
    skipped_members: dict[str, int] = field(default_factory=dict)
    not_images: int = 0
    unplaced: int = 0
    first_unplaced: tuple[str, ...] = ()
    duplicate_images: int = 0
    duplicates: tuple[DuplicateFinding, ...] = ()
    unsafe: int = 0
    first_unsafe: tuple[str, ...] = ()
    bytes_after_end: int = 0
    lists: tuple[ListFinding, ...] = ()
    duplicate_bag_labels: int = 0
    duplicate_bag_folders: int = 0
    bags_merged: int = 0
    repeated_bag_ids: int = 0
    labels_as_text: int = 0
    unknown_bag_keys: int = 0
    folders_in_no_bag: int = 0
    first_folders_in_no_bag: tuple[str, ...] = ()
    truth_absent: int = 0
    truth_missing: int = 0

    def to_json(self) -> dict[str, Any]:
        """The findings as plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Findings:
        """Reads what `to_json` gave.

        Args:
            data: A dictionary from JSON.

        Returns:
            The findings.
        """
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in data.items()
            if key in known
        }
        values["lists"] = tuple(_list_finding(entry) for entry in data.get("lists", ()))
        values["duplicates"] = tuple(DuplicateFinding(**e) for e in data.get("duplicates", ()))
        return cls(**values)


def _list_finding(entry: dict[str, Any]) -> ListFinding:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return ListFinding(**values)
