"""One image: decoded, and the decoder listened to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from torch import Tensor

from bagreid.data.decode import BrokenImage, decode_jpeg

# libjpeg goes on after damage among the pixels and only says so on stderr. Its other remarks
# (an odd JFIF version, an unknown Adobe marker) are about files that are whole.
_DAMAGE = re.compile(
    r"Corrupt JPEG data: [^\n]*|Premature end of JPEG file|Inconsistent prog[^\n]*"
)
_STDERR = 2


class Inspector:
    """Decodes images and says what is wrong with them.

    The JPEG decoder fills the gaps of a damaged picture with guesses and writes a complaint to
    stderr; here that goes to a file in memory instead, where it can be read.
    """

    def __init__(self) -> None:
        self._said = os.memfd_create("libjpeg")
        self._stderr = os.dup(_STDERR)

    def decode(self, data: bytes | memoryview) -> Tensor:
        """Decodes one image that must be whole.

        A flipped bit among the compressed pixels often decodes to other pixels without any
        complaint: only a checksum could tell, and no release has any.

        Args:
            data: The whole file.

        Returns:
            ``(3, H, W)`` uint8.

        Raises:
            BrokenImage: If anything is wrong with it, lost pixels included.
        """
        try:
            with self._listening():
                image = decode_jpeg(data)
        except BrokenImage:
            self._heard()
            raise
        if complaint := _DAMAGE.search(self._heard()):
            raise BrokenImage(f"some of its pixels are lost ({complaint[0]})")
        return image

    def fault(self, data: bytes | memoryview) -> str | None:
        """Decodes one image and says what `decode` would raise.

        Args:
            data: The whole file.

        Returns:
            What is wrong with it; None where nothing is.
        """
        try:
            self.decode(data)
        except BrokenImage as error:
            return error.message
        return None

    @contextmanager
    def _listening(self) -> Iterator[None]:
        os.dup2(self._said, _STDERR)
        try:
            yield
        finally:
            os.dup2(self._stderr, _STDERR)

    def _heard(self) -> str:
        """What was said since the last call."""
        length = os.lseek(self._said, 0, os.SEEK_CUR)
        if not length:
            return ""
        text = os.pread(self._said, length, 0)
        os.ftruncate(self._said, 0)
        os.lseek(self._said, 0, os.SEEK_SET)
        return text.decode(errors="replace")

    def close(self) -> None:
        """Lets the file in memory go."""
        os.close(self._said)
        os.close(self._stderr)

    def __enter__(self) -> Inspector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
