"""The best images so far of every image, by float32 inner product, while the tiles go by.

Shape letters: N images, n rows of a tile, b columns of a tile, C kept candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Candidates:
    """The C images of the highest (or lowest) float32 products of every image.

    Args:
        images: N.
        keep: C.
        largest: Whether the highest products are kept, or the lowest.
        device: Where the tiles are.

    Attributes:
        score_NC: ``(N, C)`` float32, best first; ∓∞ in places not yet taken.
        index_NC: ``(N, C)`` int32, the images; −1 in places not yet taken.
    """

    def __init__(self, images: int, keep: int, largest: bool, device: torch.device) -> None:
        self.largest = largest
        empty = -torch.inf if largest else torch.inf
        self.score_NC = torch.full((images, keep), empty, device=device)
        self.index_NC = torch.full((images, keep), -1, dtype=torch.int32, device=device)

    def update(self, start: int, tile_nb: Tensor, first_column: int) -> None:
        """Takes in the products of a run of images with another run.

        Args:
            start: The image of the tile's first row.
            tile_nb: ``(n, b)`` float32; may be a transposed view.
            first_column: The image of the tile's first column.
        """
        score_nC = self.score_NC[start : start + len(tile_nb)]
        index_nC = self.index_NC[start : start + len(tile_nb)]
        # Most rows of most tiles hold nothing new, and their best shows it for a fraction of
        # the price of a selection.
        if self.largest:
            better = tile_nb.amax(1) > score_nC[:, -1]
        else:
            better = tile_nb.amin(1) < score_nC[:, -1]
        rows = better.nonzero()[:, 0]
        if not len(rows):
            return
        keep = score_nC.shape[1]
        new, column = self._best(tile_nb[rows].contiguous(), min(keep, tile_nb.shape[1]))
        score = torch.cat([score_nC[rows], new], 1)
        index = torch.cat([index_nC[rows], (column + first_column).to(torch.int32)], 1)
        best, where = self._best(score, keep)
        score_nC[rows] = best
        index_nC[rows] = index.gather(1, where)

    def merge(self, start: int, score_nC: Tensor, index_nC: Tensor) -> None:
        """Takes in what another process kept of the images from ``start`` on."""
        rows = slice(start, start + len(score_nC))
        score = torch.cat([self.score_NC[rows], score_nC], 1)
        index = torch.cat([self.index_NC[rows], index_nC], 1)
        best, where = self._best(score, self.score_NC.shape[1])
        self.score_NC[rows], self.index_NC[rows] = best, index.gather(1, where)

    def _best(self, score: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        values, where = score.topk(keep, dim=1, largest=self.largest)
        return values, where
