"""What became of every training image's pseudo label: agreement with the truth, and change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from bagreid.contracts import PADDING, IntArray
from bagreid.files import write_beside


@dataclass(frozen=True, slots=True)
class Agreement:
    """Pseudo labels of the images seen since the last line of the log.

    Attributes:
        accuracy: Share that equals the truth; None where no truth is known.
        change: Share that differs from the image's label the last time it was seen; None where
            none was seen before.
    """

    accuracy: float | None
    change: float | None


class PseudoLabelRecord:
    """The latest pseudo label and confidence of each train image, and running counts.

    Args:
        truth: ``(n,)`` class index of each train image, −1 where unknown.
    """

    def __init__(self, truth: IntArray) -> None:
        self.truth = truth
        self.label = np.full(len(truth), PADDING, np.int32)
        self.confidence = np.zeros(len(truth), np.float16)
        self._counts = np.zeros(4, np.int64)

    def note(self, rows: Tensor, labels: Tensor, confidence: Tensor) -> None:
        """Takes down the labels of one global batch: three ``(N,)`` tensors."""
        at = rows.numpy()
        new = labels.cpu().numpy()
        old, truth = self.label[at], self.truth[at]
        known, seen = truth >= 0, old >= 0
        self._counts += (
            known.sum(),
            (known & (new == truth)).sum(),
            seen.sum(),
            (seen & (new != old)).sum(),
        )
        self.label[at] = new
        self.confidence[at] = confidence.float().cpu().numpy()

    def take(self) -> Agreement:
        """The agreement since the last call; the counts start anew."""
        known, right, seen, changed = self._counts.tolist()
        self._counts[:] = 0
        return Agreement(right / known if known else None, changed / seen if seen else None)

    def accuracy(self) -> float | None:
        """Share of the latest labels that equal the truth, over the images seen at all."""
        known = (self.truth >= 0) & (self.label >= 0)
        return float((self.label == self.truth)[known].mean()) if known.any() else None

    def write(self, path: Path, identities: IntArray, root: Path | str) -> None:
        """Writes the images seen, their labels, confidences and truth, as the report reads them.

        Args:
            path: The ``.npz`` file.
            identities: ``(C,)`` person number of each class.
            root: The archive.

        Raises:
            BagreidError: It cannot be written.
        """
        seen = np.flatnonzero(self.label >= 0)
        with write_beside(path) as file:
            np.savez_compressed(
                file,
                rows=seen,
                pseudo_label=self.label[seen].astype(np.int64),
                confidence=self.confidence[seen].astype(np.float32),
                truth=self.truth[seen],
                identities=identities,
                root=np.array(str(root)),
            )
