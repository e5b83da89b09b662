"""Decoding pictures as torchvision's loader does, and refusing files that are none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from picture_files import Image, bomb, pixels, save

from fcpts_ref.data import pictures
from fcpts_ref.data.pictures import CorruptPicture, Files, decode
from fcpts_ref.errors import InputError


def test_a_png_is_decoded_exactly(tmp_path: Path) -> None:
    found = decode(save(tmp_path / "a.png", 3))
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels(3))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "I", "F", "YCbCr"])
def test_every_mode_becomes_rgb_as_convert_does(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(pixels(1)[:, :, 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(pixels(1)).convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I", "F", "YCbCr") else "a.png")
    picture.save(path)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB"))
    found = decode(path)
    assert found.shape == (10, 12, 3)
    assert np.array_equal(found, expected)


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter
    Image.fromarray(pixels(2)).save(tmp_path / "a.jpg", exif=exif)
    assert decode(tmp_path / "a.jpg").shape == (10, 12, 3)


def jpeg(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(seed, 64, 64)).save(stream, "jpeg")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a picture"),
        (b"GIF, but only in name", "is not a picture; expected one of JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
        (jpeg()[: len(jpeg()) // 2], "is damaged: (?i:.*truncated)"),
        (bomb(12_000, 12_000), "more? .*Pillow's limit|above Pillow's limit"),
        (bomb(60_000, 60_000), "limit against decompression bombs"),
        (bomb(10, 10), "is damaged"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(CorruptPicture, match=message) as caught:
        decode(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # as in a user's process: Pillow only warns
def test_pillows_limit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bomb(12_000, 12_000))
    with pytest.raises(CorruptPicture, match=r"12,000 x 12,000 pixels, above Pillow's limit"):
        decode(tmp_path / "a.png")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        decode(tmp_path / "a.png")
    with pytest.raises(InputError, match="it is a folder"):
        decode(tmp_path)


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png")
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(InputError, match=r"pip install '.\[images\]'"):
        decode(path)


def test_the_checksum_is_of_the_chosen_files(tmp_path: Path) -> None:
    files = Files(tuple(save(tmp_path / f"{i}.png", i) for i in range(3)))
    assert len(files) == 3
    assert files.shape is None
    assert files.sha256([0, 1]) != files.sha256([1, 0]) != files.sha256([1, 2])
    assert files.sha256(np.array([0, 1])) == files.sha256([0, 1])
    assert isinstance(files, pictures.Pictures)
