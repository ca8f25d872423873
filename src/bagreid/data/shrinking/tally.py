"""How far a tar has come, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields

FATES = {
    "shrunk": "shrunk",
    "small": "small",
    "no gain": "no_gain",
    "no JPEG": "no_jpeg",
    "broken": "broken",
}
"""The count that each fate of an image adds to."""


@dataclass(slots=True)
class Tally:
    """Counts of members and bytes; those of several tars can be added.

    Attributes:
        read: Bytes of the source done with.
        written: Bytes of the new tar.
        shrunk: Images made smaller.
        small: Images copied, for they are small enough.
        no_gain: Images copied, for they would not take fewer bytes.
        no_jpeg: Images copied, for they are no JPEGs.
        broken: Images copied, for they do not decode.
        others: Members copied that are no images: directories, links, other files.
        unsafe: Members left out, for their names lead out of the folder of unpacking.
        behind_end: Bytes behind the end mark, left out.
    """

    read: int = 0
    written: int = 0
    shrunk: int = 0
    small: int = 0
    no_gain: int = 0
    no_jpeg: int = 0
    broken: int = 0
    others: int = 0
    unsafe: int = 0
    behind_end: int = 0

    @property
    def images(self) -> int:
        """Images in the new tar."""
        return self.shrunk + self.small + self.no_gain + self.no_jpeg + self.broken

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )
