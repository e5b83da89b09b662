"""Tar archives: all formats that Python's tarfile writes are read, hostile headers refused."""

import io
import tarfile

import pytest
from damage import damaged_copies
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.data.tar_stream import BLOCK, MAX_HEADER, MAX_MEMBERS, TarStream
from fcpts_ref.errors import InputError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def write(contents, form=tarfile.GNU_FORMAT, headers=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.pax_headers = dict(headers)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(content):
    archive = TarStream(io.BytesIO(content))
    return {member.name: archive.read(member) for member in archive.members() if member.is_file}


LONG = "folder/" * 20 + "name"  # over the 100 letters of a header


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_files_come_back_in_every_format(form):
    contents = {"a": b"", "b/c": b"x" * 511, LONG: b"x" * 513, "d": b"y" * 5000}
    assert read(write(contents, form)) == contents


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=150),
        st.binary(max_size=1100),
        max_size=4,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_names_and_contents(contents, form):
    assert read(write(contents, form)) == contents


def test_files_that_are_not_read_are_skipped():
    archive = TarStream(io.BytesIO(write({"a": b"1" * 3000, "b": b"2"})))
    assert [member.name for member in archive.members()] == ["a", "b"]


def test_folders_and_links_are_told_apart():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("x")
            info.type = kind
            archive.addfile(info)
    found = [(m.is_folder, m.is_file) for m in TarStream(io.BytesIO(buffer.getvalue())).members()]
    assert found == [(True, False)] + [(False, False)] * 3


def test_comments_and_attributes_are_passed_over():
    headers = {"comment": "x" * 5000, "SCHILY.xattr.user": "y"}
    assert read(write({"a": b"1"}, tarfile.PAX_FORMAT, headers)) == {"a": b"1"}


def test_a_size_in_gnu_s_binary_form():
    info = tarfile.TarInfo("big")
    info.size = 1 << 40
    (member,) = [next(TarStream(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT))).members())]
    assert member.size == 1 << 40


def header(kind, size, content=b""):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % BLOCK)


def pax(records):
    return header(tarfile.XHDTYPE, len(records), records) + header(tarfile.REGTYPE, 0)


BAD = {
    "a long name without end": header(tarfile.GNUTYPE_LONGNAME, 1 << 62),
    "a pax header without end": header(tarfile.XHDTYPE, MAX_HEADER + 1),
    "digits without end": pax(b"1" * 60_000),
    "digits and a keyword": pax(b"9" * 60_000 + b" hdrcharset=BINARY\n"),
    "a length beyond the header": pax(b"9999999 a=b\n"),
    "a length of nothing": pax(b"0 a=b\n"),
    "a negative length": pax(b"-6 a=b\n"),
    "no keyword": pax(b"6 abc\n"),
    "no end of line": pax(b"6 a=bc"),
    "a size that is no number": pax(b"12 size=1e9\n"),
    "a size of many digits": pax(b"40 size=" + b"9" * 31 + b"\n"),
    "a wrong checksum": b"y" + header(tarfile.REGTYPE, 0)[1:],
    "no archive": b"x" * BLOCK,
    "half a header": bytes(range(1, 100)),
    "contents cut short": header(tarfile.REGTYPE, 1000),
    "a claimed size": header(tarfile.REGTYPE, 1 << 62),
    "a claimed size in pax": pax(b"28 size=4611686018427387904\n") + b"x",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_hostile_and_broken_headers_end_at_once(content):
    with pytest.raises((InputError, ValueError, EOFError)):
        for _ in TarStream(io.BytesIO(content)).members():
            pass


def test_the_number_of_members_is_limited():
    content = header(tarfile.REGTYPE, 0) * (MAX_MEMBERS + 1)
    with pytest.raises(InputError, match=f"more than {MAX_MEMBERS} members"):
        read(content)


def test_damaged_archives_are_refused_or_read():
    for content in damaged_copies(write({"a": b"x" * 600, LONG: b"y"}, tarfile.PAX_FORMAT), 2000):
        try:
            read(content)
        except (ValueError, EOFError):
            continue
