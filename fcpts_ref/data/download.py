"""Download of a file of known length and SHA-256, which resumes an interrupted attempt."""

from __future__ import annotations

import contextlib
import http
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fcpts_ref.bars import progress_bar
from fcpts_ref.data.http_limits import LimitedHTTP, LimitedHTTPS
from fcpts_ref.data.official import OfficialArchive
from fcpts_ref.errors import MAX_SHOWN, InputError, counted, printable, shown
from fcpts_ref.storage.files import describe_failure, file_sha256, lock_folder

TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18
_AGENT = "fcpts-ref"  # some servers refuse urllib's own name


def download_archive(
    archive: OfficialArchive, folder: Path | str, *, progress: bool = True
) -> Path:
    """Fetch an official archive into ``folder`` (created if absent) and return its path."""
    path = Path(folder) / archive.file
    return download(archive.url, path, sha256=archive.sha256, size=archive.size, progress=progress)


def download(
    url: str,
    path: Path | str,
    *,
    sha256: str,
    size: int,
    progress: bool = True,
    timeout: float = TIMEOUT,
) -> Path:
    """Fetch ``url`` to ``path``, which appears only when its length and SHA-256 are right.

    A partial download is kept beside it as "NAME.part": a later call requests the rest (HTTP Range)
    and starts again if the server does not support that.  A file already at
    ``path`` is verified and not fetched again.  Returns ``path``.

    Raises InputError if the server cannot be reached, refuses, is too slow, sends headers without
    end, offers another length, stops early (the partial download is kept), or sends other contents
    (nothing is kept); if another process writes to the folder; and if the file system refuses.
    """
    path = Path(path)
    if not url.startswith(("https://", "http://")):
        raise InputError(f"cannot download {url}: expected an https:// or http:// address")
    with lock_folder(path.parent), _file_system_errors(path):
        if path.exists():
            _verify(path, sha256, size, "remove it to download it again")
            return path
        partial = path.with_name(path.name + ".part")
        if partial.exists() and partial.stat().st_size > size:
            partial.unlink()
        if not partial.exists() or partial.stat().st_size < size:
            _fetch(url, partial, size, progress, timeout)
        try:
            _verify(partial, sha256, size, "the download was removed; try again later")
        except InputError:
            partial.unlink()
            raise
        partial.replace(path)
    return path


def _verify(path: Path, sha256: str, size: int, remedy: str) -> None:
    found = path.stat().st_size
    if found != size:
        raise InputError(f"{path} has {counted(found, 'byte')}, expected {size:,}: {remedy}")
    digest = file_sha256(path)
    if digest != sha256:
        raise InputError(f"{path} has SHA-256 {digest}, expected {sha256}: {remedy}")


@contextlib.contextmanager
def _file_system_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(describe_failure(f"cannot write {path}", error)) from error


class _CannotResume(InputError):
    """The server cannot send the rest of the partial download."""


def _fetch(url: str, partial: Path, size: int, progress: bool, timeout: float) -> None:
    """Append to ``partial`` until it has ``size`` bytes."""
    begin = partial.stat().st_size if partial.exists() else 0
    try:
        response = _open(url, begin, timeout)
        begin = _first_byte(response, url, begin, size)
    except _CannotResume as error:
        partial.unlink()
        raise InputError(f"{error}; the partial download is removed: run again") from error
    with response:
        bar = progress_bar(partial.stem, size, "B", initial=begin, quiet=not progress)
        with bar, open(partial, "ab" if begin else "wb") as file:
            for block in _blocks(response, url):
                begin += len(block)
                if begin > size:
                    partial.unlink()
                    raise InputError(
                        f"{url} sends more than the expected {counted(size, 'byte')}: refused"
                    )
                file.write(block)
                bar.update(len(block))
    if begin < size:
        raise InputError(
            f"{url} ended after {begin:,} of {counted(size, 'byte')}: run again to get the rest"
        )


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https alone; urllib would follow those to ftp."""

    def redirect_request(self, request: Any, *rest: Any) -> Any:
        """Return the request that follows a redirection."""
        if not rest[-1].startswith(("http://", "https://")):
            rest[0].close()  # the response
            raise InputError(f"the server redirects to {shown(rest[-1])}: refused")
        return super().redirect_request(request, *rest)


_OPENER = urllib.request.build_opener(_WebOnly, LimitedHTTP, LimitedHTTPS)


def _open(url: str, begin: int, timeout: float) -> http.client.HTTPResponse:
    """Request the bytes from ``begin`` on.  Raises InputError for every failure."""
    headers = {"User-Agent": _AGENT}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if begin and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _CannotResume(f"{url}: the server has no bytes from {begin} on") from error
        raise InputError(f"{url}: the server answers {error.code} {_text(error.reason)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = _text(getattr(error, "reason", error)) or type(error).__name__
        raise InputError(f"cannot reach {url} ({reason}): check the connection") from error
    return response


def _first_byte(response: http.client.HTTPResponse, url: str, begin: int, size: int) -> int:
    """Return the position of the response: ``begin``, or 0 if the server sends the whole file.

    Closes the response and raises InputError if it is not part of a file of ``size`` bytes.
    """
    length = response.headers.get("Content-Length")
    part = response.headers.get("Content-Range", "").strip()
    if response.status == http.HTTPStatus.OK and length in (None, str(size)):
        return 0
    if begin and part == f"bytes {begin}-{size - 1}/{size}":
        return begin
    response.close()
    if begin:
        raise _CannotResume(f"{url}: the server sends {shown(part or length)}, not the rest")
    raise InputError(f"{url}: the server offers {_text(length)} bytes, expected {size}: refused")


def _blocks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    """Yield the body.  Raises InputError if the connection fails."""
    try:
        while block := response.read1(_BLOCK):
            yield block
    except http.client.IncompleteRead:
        return  # the caller counts
    except (OSError, http.client.HTTPException) as error:
        reason = _text(error) or type(error).__name__
        raise InputError(f"{url}: connection lost ({reason}): run again to get the rest") from error


def _text(said: object) -> str:
    """Return what a server wrote as one line that may be printed, cut to ``MAX_SHOWN``."""
    return printable(" ".join(str(said).split())[:MAX_SHOWN])
