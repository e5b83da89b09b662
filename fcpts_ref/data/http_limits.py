"""Limits on what an HTTP server may send beside the body, and on how slowly.

Python's client reads interim responses and trailers without end, and its time-out starts again
with every byte.
"""

from __future__ import annotations

import http.client
import io
import time
import urllib.request
from typing import Any

SLOWEST, SLOW_AFTER = 1024, 60.0  # bytes a second, after so many seconds
MAX_LINES = 1000  # of status, headers, chunk sizes and trailers between two parts of the body


class ServerMisbehaves(http.client.HTTPException):
    """The server sends too many lines, or too slowly."""


class _Paced(io.RawIOBase):
    """A socket's bytes; reading raises ServerMisbehaves once they come too slowly."""

    def __init__(self, raw: Any) -> None:
        self._raw, self._begun, self._received = raw, time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        count = self._raw.readinto(buffer)
        self._received += count or 0
        spent = time.monotonic() - self._begun
        if spent > SLOW_AFTER and self._received < SLOWEST * spent:
            raise ServerMisbehaves(f"the server sends under {SLOWEST} bytes a second")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Counts the lines between two parts of the body."""

    lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.lines += 1
        if self.lines > MAX_LINES:
            raise ServerMisbehaves(f"the server sends over {MAX_LINES} lines of headers")
        return super().readline(size)

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.lines = 0 if len(content) > len(b"\r\n") else self.lines  # these end a chunk
        return content

    def read1(self, size: int = -1, /) -> bytes:
        self.lines = 0
        return super().read1(size)

    def readinto(self, buffer: Any, /) -> int:
        self.lines = 0
        return super().readinto(buffer)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        plain: Any = self.fp
        self.fp = _Lines(_Paced(plain.detach()))


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class LimitedHTTP(urllib.request.HTTPHandler):
    """Opens http addresses with the limits."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Return the response."""
        return self.do_open(_Connection, req)


class LimitedHTTPS(urllib.request.HTTPSHandler):
    """Opens https addresses with the limits; certificates are verified."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Return the response."""
        return self.do_open(_SecureConnection, req)
