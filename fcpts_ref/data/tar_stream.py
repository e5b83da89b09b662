"""The members of a tar archive, read once from front to back with bounded memory and time.

Reads the old format, ustar, GNU's long names and pax headers.  Each of a member's headers is a
block of 512 bytes; contents are padded to whole blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from fcpts_ref.errors import InputError, counted

BLOCK = 512
MAX_HEADER = 1 << 16  # bytes of a long name or a pax header
MAX_MEMBERS = 10_000
_FILES, _FOLDER, _LONG_NAME, _PAX, _GLOBAL_PAX = (b"0", b"\0", b"7"), b"5", b"L", b"x", b"g"
_LONG_LINK = b"K"


class Readable(Protocol):
    """Source of an archive's bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""


@dataclass(frozen=True)
class Member:
    """A file, folder or anything else in an archive, without its contents."""

    name: str
    size: int  # bytes
    is_file: bool
    is_folder: bool


@dataclass
class TarStream:
    """An archive in ``stream``."""

    stream: Readable
    unread: int = field(default=0, init=False)  # bytes of the current member, padding included

    def members(self) -> Iterator[Member]:
        """Yield the members in order.  Raises InputError for a damaged archive."""
        name, size = None, None  # from headers of the next member
        for _ in range(MAX_MEMBERS):
            self._skip()
            header = self.stream.read(BLOCK)
            if not header or header == bytes(BLOCK):
                return
            member, kind = _parse_header(header)
            if kind in (_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL_PAX):
                content = self._read_header(member.size)
                if kind == _LONG_NAME:
                    name = _text(content)
                elif kind == _PAX:
                    records = _parse_pax(content)
                    name = _text(records[b"path"]) if b"path" in records else name
                    size = _parse_decimal(records[b"size"]) if b"size" in records else size
                continue
            member = Member(
                member.name if name is None else name,
                member.size if size is None else size,
                member.is_file,
                member.is_folder,
            )
            name, size = None, None
            self.unread = _padded(member.size) if member.is_file else 0
            yield member
        raise InputError(f"more than {MAX_MEMBERS} members: refused")

    def read(self, member: Member) -> bytes:
        """Return the contents of the last yielded member."""
        content = self._take(member.size)
        self.unread = _padded(member.size) - member.size
        return content

    def _read_header(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise InputError(
                f"a header of {counted(size, 'byte')}, expected at most {MAX_HEADER:,}: refused"
            )
        return self._take(_padded(size))[:size]

    def _skip(self) -> None:
        while self.unread:
            self.unread -= len(self._take(min(self.unread, 1 << 20)))

    def _take(self, size: int) -> bytes:
        parts = []
        while size:
            part = self.stream.read(min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _parse_header(block: bytes) -> tuple[Member, bytes]:
    """Return the member of a header and its type.  Raises ValueError for a wrong checksum."""
    if len(block) != BLOCK:
        raise EOFError
    checksum = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    if _parse_number(block[148:156]) != checksum:
        raise ValueError("a header with a wrong checksum")
    name, kind = _text(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0" and block[345] and kind != _LONG_NAME:
        name = f"{_text(block[345:500])}/{name}"
    is_file = kind in _FILES and not (kind == b"\0" and name.endswith("/"))
    is_folder = kind == _FOLDER or (kind == b"\0" and name.endswith("/"))
    return Member(name, _parse_number(block[124:136]), is_file, is_folder), kind


def _text(field_: bytes) -> str:
    return field_.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _parse_number(field_: bytes) -> int:
    """Read an octal number, or GNU's binary one for sizes of 8 GiB and more."""
    if field_[0] == 0x80:
        return int.from_bytes(field_[1:], "big")
    digits = field_.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise ValueError("a number that is not octal")
    return int(digits or b"0", 8)


def _parse_decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise ValueError("a size that is not a number")
    return int(digits)


def _parse_pax(content: bytes) -> dict[bytes, bytes]:
    """Read records "LENGTH KEY=VALUE\\n", where LENGTH counts the whole record."""
    records, position = {}, 0
    while position < len(content) and content[position]:
        end = content.index(b" ", position, position + 8)
        length = _parse_decimal(content[position:end])
        record = content[end + 1 : position + length]
        whole = end - position < length <= len(content) - position
        if not whole or record[-1:] != b"\n" or b"=" not in record:
            raise ValueError("a broken pax record")
        key, _, value = record[:-1].partition(b"=")
        records[key] = value
        position += length
    return records
