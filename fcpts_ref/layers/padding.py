"""Zero padding of images: its forms, and the rules that choose it from the sizes.

The canonical form is (top, left, bottom, right), the order of ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

from fcpts_ref.errors import InputError

Padding = int | tuple[int, int] | tuple[int, int, int, int]
Sides = tuple[int, int, int, int]

MAXIMUM_PIXELS = 1 << 26
"""Of a padded image; checked before memory is taken, as sizes come from files."""

AUTO_PAD = ("SAME_UPPER", "SAME_LOWER", "VALID")


def as_padding(value: Padding | Sequence[int]) -> Sides:
    """Return (top, left, bottom, right).

    value: one number for all sides, two (vertical, horizontal), or four.
    Raises InputError for anything else, or a number below 0.
    """
    try:
        numbers = value if isinstance(value, tuple | list) else (value,)
        sides = tuple(index(number) for number in numbers)
    except TypeError:
        sides = ()
    if len(sides) not in (1, 2, 4) or min(sides) < 0:
        raise InputError(
            f"got padding {value!r}; expected one number >= 0, a pair (vertical, horizontal), or "
            "four (top, left, bottom, right)"
        )
    top, left, bottom, right = (sides * (4 // len(sides)))[:4]
    return top, left, bottom, right


def ends(padding: Sides) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (top, bottom) and (left, right): the zeros before and after along each side."""
    top, left, bottom, right = padding
    return (top, bottom), (left, right)


def check_padded(size: Sequence[int], padding: Sides) -> None:
    """Raise InputError for an image (H, W) that padding makes too large to compute with."""
    top, left, bottom, right = padding
    H, W = size[0] + top + bottom, size[1] + left + right
    if H * W > MAXIMUM_PIXELS:
        raise InputError(
            f"an image of {size[0]} x {size[1]} with padding {padding} has {H} x {W} pixels; "
            f"expected at most {MAXIMUM_PIXELS}: use less padding"
        )


def auto_pad(
    rule: str,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Sides:
    """Return the padding (top, left, bottom, right) that a rule of ONNX's ``auto_pad`` chooses.

    rule: "VALID" pads nothing.  "SAME_UPPER" and "SAME_LOWER" pad so that the output has
        ceil(size / stride) pixels along each side; where the total is odd, the extra zero is at the
        end ("SAME_UPPER", as TensorFlow's "SAME") or at the beginning.
    size: (height, width) of the input; the other settings as for a convolution.
    Raises InputError for another rule.
    """
    if rule not in AUTO_PAD:
        raise InputError(f"got auto_pad {rule!r}; expected one of {', '.join(AUTO_PAD)}")
    if rule == "VALID":
        return 0, 0, 0, 0
    totals = [
        max((-(-side // step) - 1) * step + spread * (taps - 1) + 1 - side, 0)
        for side, taps, step, spread in zip(size, kernel, stride, dilation, strict=True)
    ]
    least, most = [total // 2 for total in totals], [-(-total // 2) for total in totals]
    (top, left), (bottom, right) = (most, least) if rule == "SAME_LOWER" else (least, most)
    return top, left, bottom, right
