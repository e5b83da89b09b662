"""Downloads, against a server on this machine."""

import functools
import hashlib
import http.server
import random
import socket
import threading
import time
from typing import Any

import pytest

from fcpts_ref.data import download as module
from fcpts_ref.data import http_limits
from fcpts_ref.data.download import download, download_archive
from fcpts_ref.data.official import OFFICIAL_ARCHIVES, OfficialArchive, official_archive
from fcpts_ref.errors import InputError

CONTENT = random.Random(0).randbytes(100_000)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the server's attributes select how it misbehaves."""

    def do_GET(self):
        server: Any = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path != "/file":
            return self.send_error(404)
        begin, status = 0, 200
        if server.supports_range and self.headers.get("Range"):
            begin, status = int(self.headers["Range"][len("bytes=") : -1]), 206
            if server.range_error:
                return self.send_error(416)
        body = server.content[begin:]
        self.send_response(status)
        if status == 206:
            total = len(server.content)
            self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if server.sends_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return self.wfile.write(body[: server.stops_after])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        server: Any = made
        server.content, server.ranges = CONTENT, []
        server.supports_range, server.range_error = True, False
        server.sends_length, server.stops_after = True, None
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    def fetch(path="/file", sha256=SHA256, size=SIZE, **options):
        url = f"http://127.0.0.1:{server.server_port}{path}"
        options = {"progress": False, "timeout": 5} | options
        return download(url, tmp_path / "a.gz", sha256=sha256, size=size, **options)

    return fetch


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "a.gz.part"


def test_a_whole_file(fetch, server, partial):
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == [None]
    assert not partial.exists()


def test_progress_is_shown(fetch, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fetch(progress=True)
    assert "a.gz: 100%" in capsys.readouterr().err


def test_a_file_that_is_there_is_verified_and_not_fetched(fetch, server):
    path = fetch()
    assert fetch() == path
    assert server.ranges == [None]
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(InputError, match=r"has SHA-256 .*: remove it"):
        fetch()
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="has 4 bytes, expected 100,000: remove it"):
        fetch()
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("sends_length", [True, False])
def test_a_body_cut_short_is_kept_and_resumed(fetch, server, partial, sends_length):
    server.stops_after, server.sends_length = 30_000, sends_length
    with pytest.raises(InputError, match="ended after 30,000 of 100,000 bytes: run again"):
        fetch()
    assert partial.read_bytes() == CONTENT[:30_000]
    server.stops_after = None
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=30000-"]


def test_a_server_without_ranges_starts_again(fetch, server, partial):
    partial.write_bytes(b"x" * 500)
    server.supports_range = False
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == ["bytes=500-"]


def test_a_complete_part_is_not_fetched_again(fetch, server, partial):
    partial.write_bytes(CONTENT)
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == []


def test_a_part_that_is_too_long_is_dropped(fetch, server, partial):
    partial.write_bytes(CONTENT + b"x")
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_part_the_server_cannot_continue_is_dropped(fetch, server, partial):
    partial.write_bytes(CONTENT[:10])
    server.range_error = True
    with pytest.raises(InputError, match=r"no bytes from 10 on; .* removed: run again"):
        fetch()
    assert not partial.exists()
    partial.write_bytes(CONTENT[:10])
    server.range_error, server.content = False, CONTENT + b"longer"
    with pytest.raises(InputError, match=r"sends 'bytes 10-100005/100006', not the rest"):
        fetch()
    assert not partial.exists()


def test_a_wrong_part_is_found_out_by_the_checksum(fetch, partial):
    partial.write_bytes(b"x" * 10)
    with pytest.raises(InputError, match="the download was removed"):
        fetch()
    assert not partial.exists()
    assert fetch().read_bytes() == CONTENT


def test_other_contents_are_refused_and_removed(fetch, tmp_path):
    with pytest.raises(InputError, match=f"SHA-256 {SHA256}, expected {'0' * 64}"):
        fetch(sha256="0" * 64)
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("size", [99_999, 100_001])
def test_another_length_is_refused_before_anything_is_written(fetch, size, tmp_path):
    with pytest.raises(InputError, match=f"offers 100000 bytes, expected {size}"):
        fetch(size=size)
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_a_body_that_does_not_end_is_cut_off(fetch, server, tmp_path):
    server.sends_length = False
    with pytest.raises(InputError, match="more than the expected 50,000 bytes"):
        fetch(size=50_000)
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_not_found(fetch):
    with pytest.raises(InputError, match="the server answers 404"):
        fetch("/other")


def test_no_server_listens(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as bound:  # a port that is bound but does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/file"
        with pytest.raises(InputError, match=r"cannot reach .*refused.*check the connection"):
            download(url, tmp_path / "a", sha256=SHA256, size=1, progress=False)


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(InputError, match=r"timed out.*check the connection"):
            download(url, tmp_path / "a", sha256=SHA256, size=1, progress=False, timeout=0.2)


@pytest.fixture
def hostile(monkeypatch):
    """A server that sends an answer, then a part over and over, until the client is gone."""
    monkeypatch.setenv("no_proxy", "*")
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(first, again, pause=0.0):
        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(first)
                    while again:
                        connection.sendall(again)
                        time.sleep(pause)
                except OSError:
                    return

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"

    yield start
    listener.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = CHUNKED + b"%x\r\n%s\r\n0\r\n" % (SIZE, CONTENT)
HOSTILE = {
    "endless interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "1000 lines"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", "cannot reach"),
    "endless trailers": (WHOLE, b"X: y\r\n", "1000 lines"),
    "endless trailers before all of the body": (
        CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n", "1000 lines",
    ),
    "a negative chunk": (CHUNKED + b"-5\r\n", b"", "connection lost|ended after|cannot reach"),
    "a chunk that is no number": (CHUNKED + b"zz\r\n", b"", "ended after 0|connection lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_server_is_given_up(hostile, tmp_path, name):
    first, again, match = HOSTILE[name]
    with pytest.raises(InputError, match=match):
        download(hostile(first, again), tmp_path / "a", sha256=SHA256, size=SIZE, progress=False)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 \x1b[31mred\x07" + b"x" * 9000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"\x1b[2J\x00" * 9000 + b"\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ftp://a/\x1b[2J" + b"x" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: data:," + b"\x1b" * 5000 + b"\r\n\r\n",
    ],
)
def test_what_a_server_writes_is_quoted_in_one_short_line(hostile, tmp_path, answer):
    with pytest.raises(InputError) as caught:
        download(hostile(answer, b""), tmp_path / "a", sha256=SHA256, size=SIZE, progress=False)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nX: ", CHUNKED + b"1\r\nx\r\n0\r\nX: "])
def test_a_server_that_drips_is_given_up(hostile, tmp_path, monkeypatch, first):
    monkeypatch.setattr(http_limits, "SLOW_AFTER", 0.2)
    with pytest.raises(InputError, match="under 1024 bytes a second"):
        download(hostile(first, b"x", 0.05), tmp_path / "a", sha256=SHA256, size=SIZE,
                 progress=False)  # fmt: skip


def test_small_chunks_are_read(hostile, tmp_path):
    parts = (CONTENT[i : i + 20] for i in range(0, SIZE, 20))
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    url = hostile(CHUNKED + body + b"0\r\n\r\n", b"")
    path = download(url, tmp_path / "a", sha256=SHA256, size=SIZE, progress=False)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/a", "cifar10"])
def test_only_http_addresses(tmp_path, url):
    with pytest.raises(InputError, match="expected an https"):
        download(url, tmp_path / "a", sha256=SHA256, size=1)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write to folder"):
        download("http://127.0.0.1/a", tmp_path / "file" / "a", sha256=SHA256, size=1)


def test_an_official_archive(server, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fcpts_ref.data.official.BASE_URL", f"http://127.0.0.1:{server.server_port}/"
    )
    archive = OfficialArchive("cifar10", "binary", "file", len(CONTENT), SHA256)
    path = download_archive(archive, tmp_path / "new" / "data", progress=False)
    assert path == tmp_path / "new" / "data" / "file"
    assert path.read_bytes() == CONTENT


def test_the_official_archives_are_four_and_well_formed():
    assert len({a.sha256 for a in OFFICIAL_ARCHIVES}) == 4
    for archive in OFFICIAL_ARCHIVES:
        assert archive.url == f"https://www.cs.toronto.edu/~kriz/{archive.file}"
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert official_archive(archive.dataset, archive.version) is archive
    assert official_archive("cifar1000") is None
    assert module.TIMEOUT > 0
