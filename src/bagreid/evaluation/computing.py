"""A network's work on batches of test images, one behind the other on its device.

Shape letters: n images of a batch, D features, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bagreid.contracts import BagreidError
from bagreid.data import AugmentConfig
from bagreid.data.augment import normalise
from bagreid.data.datasets import ViewBatch
from bagreid.evaluation.scores import all_digits
from bagreid.evaluation.shards import Batch
from bagreid.models import project_logits

Embed = Callable[[Tensor], Tensor]
"""``(n, 3, H, W)`` normalised images → ``(n, D)`` features, as ``ReidNetwork.embed`` does."""

Precision = Literal["fp32", "bf16", "fp16"]
"""What a network computes in."""

_AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def flip_summed(embed: Embed, images: Tensor) -> Tensor:
    """The feature of the protocol: image and mirror image summed, then L2-normalised.

    Args:
        embed: The network, in evaluation mode.
        images: ``(n, 3, H, W)``.

    Returns:
        ``(n, D)`` float32.
    """
    total = embed(images).float() + embed(images.flip(3)).float()
    return torch.nn.functional.normalize(total)


def memory_format(precision: Precision, device: torch.device) -> torch.memory_format:
    """How a network's images lie in memory: a GPU and 16 bits are faster with channels last."""
    if device.type == "cuda" or precision != "fp32":
        return torch.channels_last
    return torch.contiguous_format


class NotFinite(BagreidError):  # noqa: N818 - it is said of features
    """The network gives NaN or infinity.

    Attributes:
        row: Catalog row of the first such image.
    """

    row: int


@dataclass(frozen=True, slots=True)
class _Launched:
    """A batch that the device may still be at work on.

    Attributes:
        features: ``(n, D)``, on the host as soon as `ready`.
        norms: ``(n,)`` float64, likewise.
        batch: The images.
        ready: What to wait for; None where it is there.
    """

    features: Tensor
    norms: Tensor
    batch: ViewBatch
    ready: Any

    def collect(self) -> Batch:
        """Waits for the features, and looks at them."""
        if self.ready is not None:
            self.ready.synchronize()
        good = torch.isfinite(self.features).all(1)
        if not bool(good.all()):
            error = NotFinite(
                f"the network gives NaN or infinity for {int((~good).sum())} images of a batch",
                remedy="Check the checkpoint; in 16 bits, try precision fp32",
            )
            error.row = int(self.batch.rows[~good][0])
            raise error
        return Batch(self.features, self.norms.numpy(), list(self.batch.broken))


@dataclass(frozen=True, slots=True)
class FlipSum:
    """The feature of the protocol as a computation over batches.

    Attributes:
        embed: The network, in evaluation mode, on the device.
        projection: ``(D + 1, r)`` of `bagreid.models.projection_of`, where logits are compared.
        augment: How images are normalised.
        device: Where the network is.
        precision: What it computes in.
    """

    embed: Embed
    projection: Tensor | None
    augment: AugmentConfig
    device: torch.device
    precision: Precision = "fp32"

    @property
    def projects(self) -> bool:
        """Whether logits are compared."""
        return self.projection is not None

    @property
    def stored(self) -> str:
        """The type that keeps what the computation gives."""
        return "float64" if self.projects else "float32"

    def batches(self, views: Iterable[ViewBatch]) -> Iterator[Batch]:
        """Features of each batch, in order.

        While a GPU is at work on one batch, the one before is collected and used.

        Args:
            views: The images.

        Yields:
            The features.

        Raises:
            NotFinite: The network gives NaN or infinity.
        """
        waiting: _Launched | None = None
        for batch in views:
            with torch.inference_mode(), _convolutions_in_full(self.precision, self.device):
                launched = self._launch(batch)
            if waiting is not None:
                yield waiting.collect()
            waiting = launched
            if launched.ready is None:
                yield launched.collect()
                waiting = None
        if waiting is not None:
            yield waiting.collect()

    def _launch(self, batch: ViewBatch) -> _Launched:
        images = batch.images.to(self.device, non_blocking=True).float()
        layout = memory_format(self.precision, self.device)
        images = normalise(images.contiguous(memory_format=layout), self.augment)
        with self._autocast():
            seen, mirrored = self.embed(images), self.embed(images.flip(3))
        if self.projection is None:
            total = seen.float() + mirrored.float()
        else:
            total = project_logits(seen.double() + mirrored.double(), self.projection, views=2)
        norms = torch.linalg.vector_norm(total, dim=1, dtype=torch.float64)
        features = torch.nn.functional.normalize(total)
        broken = torch.isin(batch.rows, torch.tensor(batch.broken, dtype=torch.int64))
        features[broken.to(self.device)], norms[broken.to(self.device)] = 0, 0
        if self.device.type != "cuda":
            return _Launched(features, norms, batch, None)
        there = [
            torch.empty(part.shape, dtype=part.dtype, pin_memory=True).copy_(
                part, non_blocking=True
            )
            for part in (features, norms)
        ]
        ready: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()
        return _Launched(there[0], there[1], batch, ready)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_AUTOCAST[self.precision])


@contextmanager
def _convolutions_in_full(precision: Precision, device: torch.device) -> Iterator[None]:
    """In fp32 a GPU's convolutions keep all digits; by default they would be in TF32."""
    if precision != "fp32" or device.type != "cuda":
        yield
        return
    backends: Any = torch.backends  # torch's type stubs lack some
    with all_digits(backends.cudnn.conv, backends.cuda.matmul):
        yield
