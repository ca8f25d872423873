"""Names that no single tar header holds: kept whole, found by the image's place.

Shape letters: L long names, M images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bagreid.catalog.members import Members
from bagreid.catalog.pieces import Piece
from bagreid.contracts import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class LongNames:
    """A side table, empty in most archives.

    Attributes:
        place: `(L,)` int64, shard · 2³² + block of the image, ascending.
        name: `(L,)` Arrow large_string in chunks, the names as stored.
    """

    place: IntArray
    name: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.place)

    @classmethod
    def join(cls, pieces: Sequence[Piece]) -> LongNames:
        """The long names of all tars.

        Args:
            pieces: What each tar holds, by shard number.

        Returns:
            The table.
        """
        places = [
            (shard << 32) + piece.long_block.astype(np.int64) for shard, piece in enumerate(pieces)
        ]
        names = pa.chunked_array([piece.long_name for piece in pieces], pa.large_string())
        return cls(np.concatenate([np.zeros(0, np.int64), *places]), names)

    def find(self, shard: int, block: int) -> str | None:
        """The long name of one image.

        Args:
            shard: Its shard.
            block: Its block.

        Returns:
            The name; None where the header in front of the data holds it.
        """
        place = (shard << 32) + block
        at = int(np.searchsorted(self.place, place))
        if at == len(self) or self.place[at] != place:
            return None
        return str(self.name[at].as_py())

    def by_row(self, members: Members) -> tuple[IntArray, pa.ChunkedArray]:
        """The table by rows of a catalog.

        Args:
            members: `M` images in their final order.

        Returns:
            Rows, ascending, and their names; names of images that are not there are left out.
        """
        if not len(self):
            return np.zeros(0, np.int64), self.name
        place = members.shard.astype(np.int64) << 32 | members.block.astype(np.int64)
        at = np.minimum(np.searchsorted(self.place, place), len(self) - 1)
        row = np.flatnonzero(self.place[at] == place)
        return row, self.name.take(pa.array(at[row]))
