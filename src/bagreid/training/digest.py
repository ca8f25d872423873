"""A digest of nested plain values and tensors: of what they say, not of how it is stored.

Two contents have the same digest exactly if they are equal: the order of keys, the strides of
tensors, shared storage and the file around them do not matter. So a checkpoint's digest can be
kept inside the checkpoint.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import torch
from torch import Tensor

_PIECE = 1 << 24
"""Bytes of a tensor with gaps that are put in order at a time."""


def digest_of(content: Any) -> str:
    """SHA-256 over a canonical walk.

    Every value goes in as a letter for its type, the length of what follows, and its bytes;
    a dictionary by the bytes of its keys, ascending; a tensor as the digest of its type, its shape
    and its elements in row-major order. Tensors that show the same memory alike are read once.

    Args:
        content: Nested dicts, lists and tuples of tensors on the CPU, str, bytes, bool, int,
            float and None.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: There is something else in it.
    """
    seen: dict[tuple[Any, ...], bytes] = {}
    total = hashlib.sha256()
    _walk(content, total, seen)
    return total.hexdigest()


def _walk(value: Any, into: hashlib._Hash, seen: dict[tuple[Any, ...], bytes]) -> None:
    if isinstance(value, Tensor):
        into.update(b"T" + _of_tensor(value, seen))
    elif isinstance(value, dict):
        into.update(b"D%d;" % len(value))
        for name, key in sorted((_plain(key), key) for key in value):
            into.update(name)
            _walk(value[key], into, seen)
    elif isinstance(value, list | tuple):
        into.update(b"%c%d;" % (b"L" if isinstance(value, list) else b"U", len(value)))
        for item in value:
            _walk(item, into, seen)
    else:
        into.update(_plain(value))


def _plain(value: Any) -> bytes:
    """The letter of the type, the length, the bytes."""
    if value is None:
        return b"N"
    kind = type(value)
    if kind is bool:
        return b"B1" if value else b"B0"
    if kind is int:
        return _sized(b"I", str(value).encode())
    if kind is float:
        return b"F" + struct.pack("<d", value)
    if kind is str:
        return _sized(b"S", value.encode("utf-8", "surrogatepass"))
    if kind is bytes:
        return _sized(b"Y", value)
    if isinstance(value, tuple):
        return _sized(b"U", b"".join(map(_plain, value)))
    raise TypeError(f"a checkpoint holds no {kind.__name__}")


def _sized(letter: bytes, data: bytes) -> bytes:
    return b"%c%d;" % (letter, len(data)) + data


def _of_tensor(tensor: Tensor, seen: dict[tuple[Any, ...], bytes]) -> bytes:
    place = (
        tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.dtype,
        tuple(tensor.shape), tensor.stride(),
    )  # fmt: skip
    if place not in seen:
        own = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        _elements(tensor.detach(), own)
        seen[place] = own.digest()
    return seen[place]


def _elements(tensor: Tensor, into: hashlib._Hash) -> None:
    """Reads the elements in row-major order, whatever their strides, a piece at a time."""
    size = tensor.numel() * tensor.element_size()
    if size == 0:
        return
    if tensor.is_contiguous() or tensor.ndim == 0:
        into.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return
    rows = max(1, _PIECE * len(tensor) // size)
    if rows == 1 and size > _PIECE * len(tensor) and tensor.ndim > 1:
        for row in tensor:
            _elements(row, into)
        return
    for piece in torch.split(tensor, rows):
        into.update(piece.contiguous().view(-1).view(torch.uint8).numpy().data)
