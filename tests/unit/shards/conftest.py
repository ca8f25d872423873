"""A web server on the loopback that behaves well, or badly in the way a test asks for."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class Web:
    """What the server holds, how it behaves, and what it was asked for.

    Attributes:
        files: Bytes by path.
        ranges: Whether it honours Range requests.
        tag: Its ETag; None sends none.
        drops: Connections that it drops yet, each after `drop_after` bytes.
        answers: Statuses with which it answers the next requests instead.
        asked: The Range header of every request.
        sent: Bytes of bodies sent in all.
        together: So many requests wait for one another before any is answered.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.tag: str | None = '"1"'
        self.drops = 0
        self.drop_after = 0
        self.answers: list[int] = []
        self.kind = "application/x-tar"
        self.asked: list[str | None] = []
        self.sent = 0
        self.together = threading.Barrier(1)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True

    def pointer(self, folder: Path, name: str, data: bytes) -> Path:
        """Puts a tar on the server and a pointer to it into a folder."""
        self.files[f"/{name}.tar"] = data
        path = folder / f"{name}.tar.url"
        path.write_text(f"http://127.0.0.1:{self.server.server_port}/{name}.tar\n")
        return path

    def _handler(web) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                web.asked.append(asked)
                web.together.wait(60)
                data = web.files.get(self.path.partition("?")[0])
                if web.answers or data is None:
                    self._answer(web.answers.pop(0) if web.answers else 404, b"")
                elif asked is None or not web.ranges:
                    self._answer(200, data)
                else:
                    found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
                    assert found is not None
                    start, end = int(found[1]), min(int(found[2]) + 1, len(data))
                    if start >= len(data):
                        self._answer(416, b"", f"bytes */{len(data)}")
                    else:
                        span = f"bytes {start}-{end - 1}/{len(data)}"
                        self._answer(206, data[start:end], span)

            def _answer(self, status: int, body: bytes, span: str | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", web.kind)
                if span:
                    self.send_header("Content-Range", span)
                if web.tag:
                    self.send_header("ETag", web.tag)
                self.end_headers()
                if web.drops and status == 206:
                    web.drops -= 1
                    body = body[: web.drop_after]
                    self.close_connection = True
                for start in range(0, len(body), 65536):
                    try:
                        self.wfile.write(body[start : start + 65536])
                    except OSError:
                        self.close_connection = True
                        return
                    web.sent += len(body[start : start + 65536])

        return Handler


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web server on the loopback; waiting between tries is cut short."""
    monkeypatch.setattr("bagreid.shards.remote.PAUSES", (0.01, 0.01, 0.01))
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield web
    web.server.shutdown()
    web.server.server_close()
    thread.join()
