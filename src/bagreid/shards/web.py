"""Parts of a file on a web server.

The requests go through fsspec's own session, but not through its `cat_file`: that one swallows the
whole file where a server ignores the range that was asked for.
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientTimeout
from fsspec.asyn import sync  # type: ignore[import-untyped]

from bagreid.shards.ranges import CHANGED, GONE, NO_RANGES, RefusedError, Status

SILENCE = 60.0
"""Seconds without a single byte after which a connection counts as dropped."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may go well the next time."""


class WebRanges:
    """Parts of a file by HTTP range requests (RFC 9110, section 14).

    Args:
        system: fsspec's HTTP file system.
        url: The file.
        known: What an earlier connection found; any other answer is then a change.
    """

    def __init__(self, system: Any, url: str, known: Status | None) -> None:
        self._system = system
        self._url = url
        self._known = known

    def status(self) -> Status:
        """Asks for the first byte: the answer tells size and tag, and whether ranges work."""
        trouble = self.fetch(0, memoryview(bytearray(1)))[1]
        if self._known is None:
            raise trouble or OSError("the server sent nothing")
        return self._known

    def fetch(self, start: int, into: memoryview) -> tuple[int, Exception | None]:
        """One try at filling `into` with the bytes from `start` on."""
        got, trouble = sync(self._system.loop, self._fetch, start, into)
        return got, trouble

    async def _fetch(self, start: int, into: memoryview) -> tuple[int, Exception | None]:
        got = 0
        try:
            session = await self._system.set_session()
            url = self._system.encode_url(self._url)
            async with session.get(url, **self._options(start, len(into))) as answer:
                if answer.status in _BUSY:
                    return 0, OSError(f"the server answers {answer.status} {answer.reason}")
                if not self._is_part(answer, start):
                    return 0, None
                async for chunk in answer.content.iter_any():
                    end = min(got + len(chunk), len(into))
                    into[got:end] = chunk[: end - got]
                    got = end
                    if got == len(into):
                        break
        except (ClientError, OSError, ValueError) as error:
            return got, error
        return got, None

    def _options(self, start: int, size: int) -> dict[str, Any]:
        options = {**self._system.kwargs}
        options.setdefault("timeout", ClientTimeout(sock_connect=SILENCE, sock_read=SILENCE))
        options["headers"] = {
            **options.get("headers", {}),
            "Range": f"bytes={start}-{start + size - 1}",
            "Accept-Encoding": "identity",
        }
        return options

    def _is_part(self, answer: ClientResponse, start: int) -> bool:
        """Whether the answer holds bytes from `start` on; raises unless it comes of the file."""
        code, headers = answer.status, answer.headers
        span = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+)$", headers.get("Content-Range", ""))
        if code in {404, 410}:
            raise RefusedError(*GONE)
        if code in {206, 416} and span and span[1] in {str(start), None}:
            size = int(span[2])
        elif code == 200 and headers.get("Content-Length") == "0":
            size = 0
        elif code == 200 and answer.content_type == "text/html":
            raise RefusedError("the server sends a web page and no tar", "Mend the URL")
        elif code in {200, 206}:
            raise RefusedError(*NO_RANGES)
        else:
            why = f"the server answers {code} {answer.reason}"
            raise RefusedError(why, "Mend the URL, or ask for access")
        now = Status(size, headers.get("ETag") or headers.get("Last-Modified") or "")
        if self._known is None:
            self._known = now
        if now != self._known:
            raise RefusedError(*CHANGED)
        return code == 206
