"""Headers of ``.npy`` against numpy itself, and against whatever bytes may come."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bagreid.contracts import BagreidError
from bagreid.evaluation.inputs.npy import map_array, whole_file

SLOW_DISK = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def saved(values: Any, version: Any = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, version=version, allow_pickle=False)
    return buffer.getvalue()


@SLOW_DISK
@given(
    values=arrays.arrays(
        arrays.floating_dtypes(endianness="?")
        | arrays.integer_dtypes(endianness="?")
        | arrays.unicode_string_dtypes(min_len=1),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    ),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_reads_what_numpy_writes(values: Any, fortran: bool, version: Any, tmp_path: Path) -> None:
    values = np.asfortranarray(values) if fortran and values.ndim else values
    (tmp_path / "x.npy").write_bytes(saved(values, version))
    mapped = map_array(whole_file(tmp_path / "x.npy"))
    wanted = np.load(tmp_path / "x.npy")
    assert mapped.dtype == wanted.dtype
    assert mapped.shape == wanted.shape
    np.testing.assert_array_equal(mapped, wanted)
    assert not values.size or not mapped.flags.writeable


HEADER = saved(np.zeros((3, 4), np.float32))


@SLOW_DISK
@given(data=st.data())
@example(data=None)
def test_damaged_headers_are_refused_or_mean_what_numpy_says(data: Any, tmp_path: Path) -> None:
    """A few bytes of a good file are others, or it is cut: no other error, no other numbers."""
    raw = bytearray(HEADER)
    if data is not None:
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
        raw = raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))]
    path = tmp_path / "x.npy"
    path.write_bytes(raw)
    refused = None
    try:
        mapped = map_array(whole_file(path))
    except BagreidError as error:
        refused = error
    if refused is not None:
        assert refused.path == path
        assert "\n" not in str(refused)
        return
    wanted = np.load(path)
    assert mapped.dtype == wanted.dtype
    assert mapped.tobytes() == wanted.tobytes()
    assert mapped.shape == wanted.shape


@SLOW_DISK
@given(text=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_header_text(text: bytes, tmp_path: Path) -> None:
    raw = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    path = tmp_path / "x.npy"
    path.write_bytes(raw)
    with pytest.raises(BagreidError):
        map_array(whole_file(path))


@pytest.mark.parametrize(
    "shape", ["(10**9, 10**9)", "(99999999999999999999, 4)", "(3.0, 4)", "(True, 4)", "[3, 4]"]
)
def test_shapes_that_cannot_be(shape: str, tmp_path: Path) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    raw = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 48
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(BagreidError):
        map_array(whole_file(tmp_path / "x.npy"))
