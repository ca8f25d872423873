"""The digest of a content: of what it says, not of how it lies."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from states import raw, small_state

from bagreid.training.digest import digest_of
from bagreid.training.snapshot import Snapshots

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)
)
KEYS = st.one_of(st.integers(), st.text(max_size=4), st.booleans())
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


def slow_digest(value: Any) -> str:
    return hashlib.sha256(spelled(value)).hexdigest()


def spelled(value: Any) -> bytes:
    """The canonical walk, as plainly as can be."""
    if isinstance(value, torch.Tensor):
        head = f"{value.dtype} {tuple(value.shape)};".encode()
        return b"T" + hashlib.sha256(head + raw(value)).digest()
    if isinstance(value, dict):
        entries = sorted((spelled_key(key), spelled(value[key])) for key in value)
        return f"D{len(value)};".encode() + b"".join(key + item for key, item in entries)
    if isinstance(value, list | tuple):
        letter = "L" if isinstance(value, list) else "U"
        return f"{letter}{len(value)};".encode() + b"".join(map(spelled, value))
    return spelled_key(value)


def spelled_key(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"B" + (b"1" if value else b"0")
    if isinstance(value, float):
        return b"F" + struct.pack("<d", value)
    letter = {int: "I", str: "S", bytes: "Y"}[type(value)]
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return f"{letter}{len(data)};".encode() + data


@given(NESTED)
def test_it_is_the_plain_walk(value: Any) -> None:
    assert digest_of(value) == slow_digest(value)


@given(NESTED, NESTED)
def test_contents_that_differ_have_different_digests(one: Any, two: Any) -> None:
    assert (digest_of(one) == digest_of(two)) == (spelled(one) == spelled(two))


def test_a_whole_state_is_the_plain_walk() -> None:
    content = Snapshots().take(small_state()).content
    assert digest_of(content) == slow_digest(content)


def test_order_of_keys_strides_and_sharing_do_not_matter() -> None:
    flat = torch.randn(24)
    one = {"a": flat.view(2, 3, 2, 2), "b": flat[:6].view(2, 3)}
    other = {
        "b": flat[:6].view(2, 3).t().contiguous().t(),
        "a": flat.view(2, 3, 2, 2).clone().to(memory_format=torch.channels_last),
    }
    assert digest_of(one) == digest_of(other)
    other["a"] = other["a"].clone()
    other["a"][1, 2, 1, 1] += 1e-6
    assert digest_of(one) != digest_of(other)


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(2, 3),
        torch.zeros(6, dtype=torch.int32),
        torch.zeros(5),
        -torch.zeros(6),
        [0] * 6,
    ],
)
def test_type_shape_and_sign_matter(other: object) -> None:
    assert digest_of({"a": torch.zeros(6)}) != digest_of({"a": other})


@pytest.mark.parametrize("shape", [(3, 1), (1, 40), (5, 7, 3), (2, 6000), (9000, 2)])
def test_tensors_with_gaps_are_read_in_pieces(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bagreid.training.digest._PIECE", 64)
    content = {"a": torch.randn(*shape, 2)[..., 0]}
    assert digest_of(content) == slow_digest(content)


def test_what_has_no_place_in_a_checkpoint_is_refused() -> None:
    with pytest.raises(TypeError, match="holds no set"):
        digest_of({"a": {1}})
