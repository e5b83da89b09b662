"""Presets, and resizing equal to torchvision's to the last bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchvision_import import import_torchvision

from fcpts_ref.data.preprocessing import (
    PRESETS,
    STRETCHED,
    Preprocessing,
    as_provenance,
    channel_numbers,
    preprocessing,
    stored_preprocessing,
    with_numbers,
)
from fcpts_ref.data.resizing import AREAS, RATIOS, box_view, centre_view, random_box
from fcpts_ref.errors import InputError

pytest.importorskip("PIL.Image")


def transforms() -> Any:
    """torchvision's transforms, where it is installed."""
    import_torchvision()
    from torchvision import transforms
    from torchvision.transforms import v2  # noqa: F401

    return transforms


def picture(H: int, W: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), np.uint8)


def test_presets_by_name_and_by_numbers() -> None:
    assert preprocessing("torchvision") is PRESETS["torchvision"]
    assert preprocessing("256/224") == PRESETS["torchvision"]
    assert preprocessing("256/224/bicubic") == PRESETS["timm"]
    assert preprocessing("256/224/bilinear/BGR") == PRESETS["pycls"]
    assert all(one.crop == 224 for name, one in PRESETS.items() if name != "ssd")
    assert preprocessing("stretch/300/bilinear").resize == PRESETS["ssd"].resize == STRETCHED
    assert str(PRESETS["ssd"]) == "stretch to 300, bilinear"
    assert str(PRESETS["pycls"]) == "resize 256, crop 224, bilinear, BGR"
    assert str(Preprocessing(None, 8)) == "crop 8, bilinear"


@pytest.mark.parametrize(
    "text",
    ["", "imagenet", "256", "256/x", "0/224", "256/0", "256/224/box", "9999999/1", "1/2/3/4"],
)
def test_unknown_presets(text: str) -> None:
    with pytest.raises(InputError, match="expected one of torchvision") as caught:
        preprocessing(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"std": (0.0,)},
        {"std": ()},
        {"mean": ()},
        {"scale": 0},
        {"filter": "box"},
        {"order": "RBG"},
        {"crop": 1.5},
    ],
)
def test_impossible_numbers(changes: Any) -> None:
    with pytest.raises(InputError):
        Preprocessing(**{"resize": 8, "crop": 8, **changes})


def test_constants_are_for_inputs_in_0_1() -> None:
    mean, std = PRESETS["efficientnet-lite0"].constants  # (v - 127) / 128
    v = 200
    assert (v / 255 - mean[0]) / std[0] == pytest.approx((v - 127) / 128, abs=1e-12)
    assert PRESETS["pycls"].constants[0] == PRESETS["torchvision"].constants[0][::-1]


def test_mean_and_std_as_numbers() -> None:
    changed = with_numbers(PRESETS["pycls"], "0.1,0.2,0.3", "0.5")
    assert changed.constants == ((0.3, 0.2, 0.1), (0.5,))
    lite = with_numbers(PRESETS["efficientnet-lite0"], "0.5", None)
    assert lite.constants[0] == pytest.approx((0.5,))
    with pytest.raises(InputError, match="mean 'a'; expected a number"):
        channel_numbers("a", "mean")


@pytest.mark.parametrize("known", PRESETS.values())
def test_stored_with_a_network(known: Preprocessing) -> None:
    entry = json.loads(json.dumps(as_provenance(known)))
    assert stored_preprocessing(entry) == known
    assert stored_preprocessing({}) is None
    assert as_provenance(None) == {}
    with pytest.raises(InputError, match="preprocessing"):
        stored_preprocessing({"preprocessing": {"crop": "x"}})


@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40), st.booleans()
)
def test_resize_and_centre_crop_equal_torchvision(
    H: int, W: int, resize: int, crop: int, bicubic: bool
) -> None:
    T = transforms()
    from PIL import Image

    mode = T.InterpolationMode.BICUBIC if bicubic else T.InterpolationMode.BILINEAR
    made = T.Compose([T.Resize(resize, mode), T.CenterCrop(crop)])
    x = picture(H, W)
    if max(H, W) * resize > 40_000:
        return
    try:
        expected = np.asarray(made(Image.fromarray(x)))
    except ValueError:  # it resizes a side to nothing
        return
    found = centre_view(x, resize, crop, "bicubic" if bicubic else "bilinear")
    assert np.array_equal(found, expected)


@given(st.integers(2, 50), st.integers(2, 50), st.integers(0, 99), st.booleans())
def test_a_resized_box_equals_torchvision(H: int, W: int, seed: int, mirror: bool) -> None:
    T = transforms()
    from PIL import Image

    box = random_box(H, W, np.random.default_rng(seed))
    x = Image.fromarray(picture(H, W))
    expected = T.functional.resized_crop(x, *box, [9, 9], T.InterpolationMode.BILINEAR)
    expected = T.functional.hflip(expected) if mirror else expected
    found = box_view(picture(H, W), box, (9, 9), "bilinear", mirror)
    assert np.array_equal(found, np.asarray(expected))


def test_floats_equal_torchvisions() -> None:
    T = transforms()
    from PIL import Image

    x = picture(30, 40)
    made = T.Compose([T.Resize(24), T.CenterCrop(16), T.ToTensor()])
    expected = made(Image.fromarray(x)).numpy()
    found = np.divide(centre_view(x, 24, 16, "bilinear").transpose(2, 0, 1), 255, dtype=np.float32)
    assert np.array_equal(found, expected)


def test_what_resizing_does_by_itself() -> None:
    x = picture(8, 12)
    assert np.array_equal(centre_view(x, None, 8, "bilinear"), x[:, 2:10])
    assert np.array_equal(centre_view(x, 8, 4, "bilinear"), x[2:6, 4:8])  # nothing to resize
    padded = centre_view(x[:3, :5], None, 7, "bilinear")
    assert np.array_equal(padded[2:5, 1:6], x[:3, :5])
    assert padded[:2].max() == padded[5:].max() == 0
    flat = np.full((40, 30, 3), 77, np.uint8)
    assert (centre_view(flat, 9, 7, "bicubic") == 77).all()


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_floats_and_single_channels_are_resized_alike(filter: str) -> None:
    x = picture(20, 31)
    whole = centre_view(x, 12, 10, filter)
    one = centre_view(x[:, :, 1:2], 12, 10, filter)
    floats = centre_view(x / 255.0, 12, 10, filter)
    assert np.array_equal(one[:, :, 0], whole[:, :, 1])
    assert floats.dtype == np.float64
    assert 0 <= floats.min() <= floats.max() <= 1
    assert np.abs(floats * 255 - whole).max() < 1.5


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000))
def test_random_boxes_lie_in_the_picture(H: int, W: int, seed: int) -> None:
    top, left, height, width = random_box(H, W, np.random.default_rng(seed))
    assert 0 <= top <= top + height <= H
    assert 0 <= left <= left + width <= W
    assert height > 0
    assert width > 0


def test_random_boxes_have_torchvisions_areas_and_ratios() -> None:
    generator = np.random.default_rng(0)
    boxes = np.array([random_box(500, 500, generator) for _ in range(2000)])
    areas, ratios = boxes[:, 2] * boxes[:, 3] / 250_000, boxes[:, 3] / boxes[:, 2]
    assert AREAS[0] * 0.98 < areas.min() < 0.1
    assert 0.9 < areas.max() <= 1
    assert RATIOS[0] * 0.99 < ratios.min() < 0.76
    assert 1.31 < ratios.max() < RATIOS[1] * 1.01
    assert abs(np.log(ratios).mean()) < 0.02
    assert random_box(10, 1000, generator)[2] == 10  # the largest box of a strip
