"""What is wrong with a damaged checkpoint, as far as its container tells.

A zip has its directory at its end, so a cut one has none; torch does not check the sums of its
members, so the small ones are checked here before any byte of them is interpreted. The tensors are
covered by the digest.
"""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from pathlib import Path

from bagreid.contracts import BagreidError

_REMEDY = (
    "Resume from the one before it: --resume-from auto takes the newest whole one, or name a file"
)
FOREIGN = "To start from other weights use --pretrained instead of --resume-from"
_FIRST_BYTES = 1 << 16
_MARK = b"PK\x03\x04"


class DamagedCheckpointError(BagreidError):
    """A checkpoint is not as it was written; made by `damaged`."""


def damaged(path: Path, message: str) -> DamagedCheckpointError:
    """The error for a file that is damaged."""
    return DamagedCheckpointError(f"damaged: {message}", path=path, remedy=_REMEDY)


def check_container(path: Path) -> None:
    """Makes sure that a file may be read and is a zip whose small members are whole.

    Raises:
        DamagedCheckpointError: It is cut or its bytes have changed.
        BagreidError: It is absent, or may not be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(_FIRST_BYTES)
    except FileNotFoundError as error:
        raise BagreidError("there is no such file", path=path, remedy="Check the path") from error
    except PermissionError as error:
        raise BagreidError(
            "this file may not be read", path=path, remedy="Check its rights"
        ) from error
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error
    if not size:
        raise damaged(path, "it is empty")
    if not begin.startswith(_MARK) and not path.match("step-*.pt"):
        raise BagreidError("this is no checkpoint of bagreid train", path=path, remedy=FOREIGN)
    if not begin.startswith(_MARK):
        raise damaged(path, f"its {size:,} bytes do not begin as a checkpoint's (no zip)")
    try:
        with zipfile.ZipFile(path) as members:
            bad = _first_bad(members)
    except OSError as error:
        raise damaged(path, f"reading it fails ({error.strerror})") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, EOFError) as error:
        raise damaged(path, _without_directory(begin, size)) from error
    if bad is not None:
        raise damaged(path, f"its part {bad} has changed")


def _first_bad(members: zipfile.ZipFile) -> str | None:
    """The first member, other than a tensor, whose checksum is wrong."""
    for member in members.infolist():
        folder, _, _ = member.filename.rpartition("/")
        if folder.endswith("/data"):
            continue
        try:
            members.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
            return member.filename
    return None


def _without_directory(begin: bytes, size: int) -> str:
    expected = _expected_bytes(begin)
    if expected is not None and size < expected:
        return f"it is cut: {size:,} of more than {expected:,} bytes are there"
    return f"its directory, at the end of its {size:,} bytes, is cut off or has changed"


def _expected_bytes(begin: bytes) -> int | None:
    """Bytes of the tensors, which the pickle in front of them tells in its first entries."""
    start = 30 + int.from_bytes(begin[26:28], "little") + int.from_bytes(begin[28:30], "little")
    name = None
    try:
        for code, value, _ in pickletools.genops(begin[start:]):
            if name == "bytes" and isinstance(value, int) and "PUT" not in code.name:
                return value
            name = value if isinstance(value, str) else name
    except Exception:
        return None
    return None
