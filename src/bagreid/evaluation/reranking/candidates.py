"""The best images so far of every image, by float32 inner product, while the tiles go by.

Shape letters: N images, n rows of a tile, b columns of a tile, m images whose candidates a tile
may change (its rows, or its columns), C kept candidates, H hits, W most hits of one image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_MANY = 32
"""Hits an image from which on selecting among all is cheaper than sorting the hits out."""


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
        self._empty = -torch.inf if largest else torch.inf
        self.score_NC = torch.full((images, keep), self._empty, device=device)
        self.index_NC = torch.full((images, keep), -1, dtype=torch.int32, device=device)

    def update(self, tile_nb: Tensor, row: int, column: int, *, of_columns: bool) -> None:
        """Takes in the products of a run of images with another run.

        Args:
            tile_nb: ``(n, b)`` float32, contiguous.
            row: The image of the first row.
            column: The image of the first column.
            of_columns: Whether the rows are offered to the columns' images, or the columns to
                the rows'.
        """
        start, other = (column, row) if of_columns else (row, column)
        count = tile_nb.shape[1 if of_columns else 0]
        last_m = self.score_NC[start : start + count, -1]
        limit = last_m[None, :] if of_columns else last_m[:, None]
        if bool(last_m.isfinite().all()):
            hit_H = _hits(tile_nb, limit, self.largest)
            if len(hit_H) <= _MANY * count:
                self._offer_hits(tile_nb, hit_H, start, other, of_columns)
                return
        tile_mb = tile_nb.T.contiguous() if of_columns else tile_nb
        score_mK, index_mK = self._best(tile_mb, min(self.score_NC.shape[1], tile_mb.shape[1]))
        self.merge(slice(start, start + count), score_mK, (index_mK + other).to(torch.int32))

    def _offer_hits(
        self, tile_nb: Tensor, hit_H: Tensor, start: int, other: int, of_columns: bool
    ) -> None:
        """Takes in the few products that beat an image's last candidate."""
        if not len(hit_H):
            return
        width = tile_nb.shape[1]
        line_H = hit_H // width
        column_H = hit_H - line_H * width
        own_H, other_H = (column_H, line_H) if of_columns else (line_H, column_H)
        if of_columns:
            own_H, order = own_H.sort(stable=True)
            hit_H, other_H = hit_H[order], other_H[order]
        group_H = torch.cat([own_H.new_zeros(1), (own_H.diff() != 0).cumsum(0)])
        number_m = torch.bincount(group_H)
        own_m = own_H[number_m.cumsum(0) - 1]
        slot_H = torch.arange(len(own_H), device=own_H.device)
        slot_H -= (number_m.cumsum(0) - number_m)[group_H]
        shape = (len(own_m), int(number_m.max()))
        score_mW = tile_nb.new_full(shape, self._empty)
        index_mW = torch.full(shape, -1, dtype=torch.int32, device=tile_nb.device)
        score_mW[group_H, slot_H] = tile_nb.view(-1)[hit_H]
        index_mW[group_H, slot_H] = (other_H + other).to(torch.int32)
        self.merge(own_m + start, score_mW, index_mW)

    def merge(self, images: Tensor | slice, score_mW: Tensor, index_mW: Tensor) -> None:
        """Takes in other candidates of some images.

        Args:
            images: ``(m,)`` images, each once.
            score_mW: ``(m, W)`` float32.
            index_mW: ``(m, W)`` int32.
        """
        score = torch.cat([self.score_NC[images], score_mW], 1)
        index = torch.cat([self.index_NC[images], index_mW], 1)
        best, where = self._best(score, self.score_NC.shape[1])
        self.score_NC[images], self.index_NC[images] = best, index.gather(1, where)

    def _best(self, score: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        values, where = score.topk(keep, dim=1, largest=self.largest)
        return values, where


def _hits(tile_nb: Tensor, limit: Tensor, largest: bool) -> Tensor:
    """``(H,)`` int64, where in the flat tile a product is beyond its limit."""
    if tile_nb.device.type == "cpu":  # several times faster in NumPy, as of torch 2.15
        compare = np.greater if largest else np.less
        return torch.from_numpy(np.flatnonzero(compare(tile_nb.numpy(), limit.numpy())))
    mask = tile_nb > limit if largest else tile_nb < limit
    return mask.flatten().nonzero()[:, 0]
