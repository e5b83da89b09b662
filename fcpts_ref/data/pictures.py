"""Pictures: images of any size, read one at a time when they are needed.

Files are decoded by Pillow (extra ``images``) as ``convert("RGB")`` does, which is how torchvision
loads them: grey, palette, CMYK, transparent and 16-bit pictures become three channels of 8 bits,
and an orientation in EXIF data is not applied.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, install, printable
from fcpts_ref.storage.files import check_regular_file, describe_failure

Array = NDArray[Any]

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")
"""The formats that Pillow may decode: none of them runs another program, as EPS would."""


@runtime_checkable
class Pictures(Protocol):
    """A sequence of pictures, which need not lie in memory or have one size."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """The shape (C, H, W) of every picture, None if it is not known to be one."""

    def read(self, index: int) -> Array:
        """Return a picture (H, W, C): uint8, or floats in [0, 1].

        Raises InputError, which names the picture, if it cannot be read.
        """

    def sha256(self, chosen: Sequence[int] | Array) -> str:
        """Return the SHA-256 of the chosen pictures, as they are stored."""


class CorruptPicture(InputError):
    """A picture that cannot be decoded."""


@dataclass(frozen=True)
class Files:
    """Pictures in files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> None:
        """None: files have any size."""
        return

    def read(self, index: int) -> Array:
        """Return the picture (H, W, 3), uint8.  Raises CorruptPicture, which names the file."""
        return decode(self.paths[index])

    def sha256(self, chosen: Sequence[int] | Array) -> str:
        """Return the SHA-256 of the contents of the chosen files, in their order."""
        digest = hashlib.sha256()
        for index in chosen:
            digest.update(hashlib.sha256(read_file(self.paths[index])).digest())
        return digest.hexdigest()


def file_list(paths: Iterable[Path]) -> Files:
    """Return the files as pictures."""
    return Files(tuple(paths))


def decode(path: Path) -> Array:
    """Return the picture of a file, (H, W, 3) uint8.

    Raises InputError for a file that cannot be read and without Pillow, CorruptPicture for one that
    is empty, of another format, damaged, or larger than Pillow's limit against decompression bombs.
    """
    picture: Array = _opened(path, read_file(path), lambda one: np.asarray(one.convert("RGB")))
    return picture


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of a file's picture, which is not decoded.

    Raises the errors of ``decode``, but does not see damage behind the file's header.
    """
    size: tuple[int, int] = _opened(path, read_file(path), lambda picture: picture.size)
    return size


def _opened(path: Path, content: bytes, use: Callable[[Any], Any]) -> Any:
    """Return what ``use`` makes of the picture in a file's contents; the errors of ``decode``."""
    Image = pillow()
    if not content:
        raise CorruptPicture(f"{path} is empty; expected a picture")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and picture.width * picture.height > limit:
                raise CorruptPicture(
                    f"{path} has {picture.width:,} x {picture.height:,} pixels, above Pillow's "
                    f"limit of {limit:,} against decompression bombs"
                )
            return use(picture)
    except CorruptPicture:
        raise
    except Image.UnidentifiedImageError as error:
        raise CorruptPicture(
            f"{path} is not a picture; expected one of {', '.join(FORMATS)}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CorruptPicture(
            f"{path} has more pixels than Pillow's limit against decompression bombs allows"
        ) from error
    except Exception as error:  # the decoders of ten formats raise whatever they meet
        reason = printable(str(error) or type(error).__name__)[:120]
        raise CorruptPicture(f"{path} is damaged: {reason}") from error


def read_file(path: Path) -> bytes:
    """Return the contents of a regular file.  Raises InputError if it cannot be read."""
    check_regular_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error


def read_limited(path: Path, limit: int) -> bytes:
    """Return the contents of a regular file of at most ``limit`` bytes.

    Raises InputError for a larger one, and if it cannot be read.
    """
    check_regular_file(path)
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    if len(content) > limit:
        raise InputError(f"{path} has more than {limit:,} bytes; expected a smaller file")
    return content


def pillow() -> Any:
    """Return Pillow's module Image.  Raises InputError, which tells how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError(
            f"pictures are decoded and resized by Pillow; {install('images')}"
        ) from error
    return Image
