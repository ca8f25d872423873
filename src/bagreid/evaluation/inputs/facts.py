"""What was found in somebody's features that is no error, and which rule was applied to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bagreid.contracts import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts:
    """Counts of what people should know of.

    Attributes:
        files: The files of the features.
        zero_queries: Queries whose features are all zero.
        zero_gallery: Gallery images whose features are all zero.
        repeated_queries: Queries with the name or the features of an earlier one.
        shared_names: Names that stand among the queries and in the gallery.
        named_identities: Identities that are names rather than numbers.
        named_cameras: Cameras that are names rather than numbers.
        unread: Arrays or columns that mean nothing here.
        copied_bytes: Bytes of copies on disk, which vanish with the program.
    """

    files: tuple[str, ...] = ()
    zero_queries: int = 0
    zero_gallery: int = 0
    repeated_queries: int = 0
    shared_names: int = 0
    named_identities: int = 0
    named_cameras: int = 0
    unread: tuple[str, ...] = ()
    copied_bytes: int = 0

    def notes(self) -> list[str]:
        """One sentence for each thing found, with its rule."""
        notes = []
        if self.zero_queries or self.zero_gallery:
            notes.append(
                f"{self.zero_queries:,} queries and {self.zero_gallery:,} gallery images have "
                "features of zeros: they score 0 with everybody."
            )
        if self.repeated_queries:
            notes.append(
                f"{self.repeated_queries:,} queries repeat an earlier one (its name or its "
                "features): each counts."
            )
        if self.shared_names:
            notes.append(
                f"{self.shared_names:,} images stand among the queries and in the gallery under "
                "one name: unless their camera leaves them out, they find themselves."
            )
        if self.named_identities:
            notes.append(
                f"Identities are {self.named_identities:,} names: nobody is junk or a distractor."
            )
        if self.named_cameras:
            notes.append(f"Cameras are {self.named_cameras:,} names.")
        if self.unread:
            notes.append(f"Not read: {', '.join(map(printable, self.unread[:8]))}.")
        if self.copied_bytes:
            notes.append(
                f"The features were copied to disk for this run: {self.copied_bytes / 2**30:.1f} "
                "GiB; uncompressed .npz or .npy in row order needs no copy."
            )
        return notes

    def record(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)
