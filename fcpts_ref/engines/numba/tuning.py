"""The constants that were chosen by measuring, each with what it means and what to measure again.

Kernels import them from here.  All are for one processor: on another they cost speed, but no result
is wrong.  Most decide how much work is done at a time; where sums are taken in parts of that size,
another value changes the last bits of a result.  Sizes that a method dictates, such as Winograd's
tile, are beside their kernels.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from fcpts_ref.engines.numba.jit.host import REGISTERS

ZEN4 = "AMD Zen 4 (AVX-512), 2 threads, float32"

STEP = "python -m bench step"
CONVOLUTION = "python -m bench convolution"
CROSSOVER = "python -m bench crossover"
TRANSFORMER = "python -m bench transformer"
PROFILE = "python -m bench profile"
LAYERS = "python -m bench layers"
PREDICTOR = "python -m bench engines"
MANY = REGISTERS >= 32


@dataclass(frozen=True)
class Tuned:
    """About a constant.

    bench: the command whose times decide it; processor: where that was measured.
    """

    unit: str
    meaning: str
    bench: str
    processor: str = ZEN4


# Which kernel runs

SPARSE_BELOW: Annotated[
    float,
    Tuned(
        "share of the weights that are not zero",
        "density below which a masked kernel is faster than a dense one that sums product by "
        "product; the time of masked kernels is nearly proportional to the density",
        CROSSOVER,
    ),
] = 0.45
WINOGRAD_GAIN: Annotated[
    float,
    Tuned(
        "ratio of times",
        "how much faster Winograd's kernels are than the other dense ones: with them the crossover "
        "is at SPARSE_BELOW / WINOGRAD_GAIN = 0.28, the mean over 16, 32 and 64 channels of "
        "crossovers between 0.20 and 0.37",
        CROSSOVER,
    ),
] = 1.6
WINOGRAD_MIN_CHANNELS: Annotated[
    int,
    Tuned(
        "channels",
        "least input and output channels for Winograd's kernels: with fewer the transforms of the "
        "tiles are not repaid",
        CONVOLUTION,
    ),
] = 8
ROW_MIN_IMAGES: Annotated[
    int,
    Tuned(
        "images",
        "least batch for the row-packed kernels, whose threads share images",
        STEP,
    ),
] = 8

# Tiles of sums in registers

TILE_ROWS: Annotated[
    int, Tuned("output channels", "rows of a dense kernel's tile", CONVOLUTION)
] = 4
TILE_VECTORS: Annotated[
    int,
    Tuned(
        "vectors",
        "width of a dense kernel's tile; 4 x 6 sums, 6 inputs and 1 weight fill 31 registers",
        CONVOLUTION,
    ),
] = 6 if MANY else 3
HALF_TILE_VECTORS: Annotated[
    int,
    Tuned(
        "vectors of half a register",
        "width of a dense kernel's tile for images whose rows are half a vector",
        CONVOLUTION,
    ),
] = 4
MASKED_TILE_VECTORS: Annotated[
    tuple[int, ...],
    Tuned(
        "vectors",
        "widths of a masked kernel's tile, each compiled where it is needed: the one that wastes "
        "least is taken; with few vectors, reading the list of kept weights takes longer than the "
        "products",
        LAYERS,
    ),
] = (1, 4, 6, 14, 17) if MANY else (1, 3, 7, 13)
WIDE_TILE_WEIGHTS: Annotated[
    int,
    Tuned(
        "weights of an output channel",
        "least number for a masked kernel's tile wider than a dense kernel's",
        LAYERS,
    ),
] = 32
ROW_TILE_VECTORS: Annotated[
    int,
    Tuned("vectors", "sums of a row-packed kernel; registers hold two such tiles", CONVOLUTION),
] = 8 if MANY else 4
FLAT_LANES: Annotated[
    float,
    Tuned(
        "lanes per pixel",
        "most with which a dense kernel reads whole planes, beyond it panels are packed",
        LAYERS,
    ),
] = 1.1
DIRECT_GRADIENT_COLUMNS: Annotated[
    int,
    Tuned(
        "weights of an output channel",
        "most of them whose dense gradient is taken from whole planes",
        LAYERS,
    ),
] = 160
DIRECT_GRADIENT_BYTES: Annotated[
    int, Tuned("bytes", "largest source of an image for it", LAYERS)
] = 655360
GRADIENT_TILE_WEIGHTS: Annotated[
    int,
    Tuned("weights", "kept weights whose gradients are summed at the same time", CONVOLUTION),
] = 6
GRADIENT_TILES: Annotated[
    tuple[tuple[int, int], ...],
    Tuned(
        "output channels, vectors",
        "sizes of a tile of the dense weight gradient; the one that wastes least is taken",
        LAYERS,
    ),
] = ((4, 6), (6, 4), (8, 3), (12, 1)) if MANY else ((4, 3), (4, 2), (8, 1))
WINOGRAD_TILE_ROWS: Annotated[
    int,
    Tuned(
        "output channels", "channels whose row of transformed coefficients is summed", CONVOLUTION
    ),
] = 4 if MANY else 2
WINOGRAD_GRADIENT_ROWS: Annotated[
    int, Tuned("input channels", "rows of a tile of Winograd's weight gradient", CONVOLUTION)
] = 8 if MANY else 4

# Work that is done at a time, so that it stays in a cache

PANEL_BYTES: Annotated[
    int,
    Tuned("bytes", "rows of a dense kernel's panel: a fifth of a level-2 cache", LAYERS),
] = 196608

GRADIENT_CACHE_BYTES: Annotated[
    int,
    Tuned(
        "bytes",
        "images that a weight gradient reads at a time: half a level-2 cache",
        CONVOLUTION,
    ),
] = 2**19
WINOGRAD_BLOCK_ROWS: Annotated[
    int,
    Tuned(
        "output channels",
        "channels whose outputs are made from one vector of tiles before they are stored",
        CONVOLUTION,
    ),
] = 8 * WINOGRAD_TILE_ROWS
WINOGRAD_FILTER_CHANNELS: Annotated[
    int, Tuned("input channels", "channels whose filters are transformed at a time", PROFILE)
] = 8
WINOGRAD_GRADIENT_TILES: Annotated[
    int,
    Tuned("tiles", "tiles whose transformed coefficients a weight gradient holds", CONVOLUTION),
] = 32
ACTIVATION_BLOCK: Annotated[
    int, Tuned("elements", "share of an elementwise kernel that a thread takes", PROFILE)
] = 2**12

# Products of tokens

SPARSE_PRODUCT_BELOW: Annotated[
    float,
    Tuned(
        "share of the weights that are not zero",
        "density below which a masked kernel is faster than BLAS on the tokens of a batch",
        TRANSFORMER,
    ),
] = 0.15
PRODUCT_PARTS: Annotated[
    int,
    Tuned("blocks", "greatest number of blocks of a product that threads share", TRANSFORMER),
] = 16
PRODUCT_SIDE: Annotated[
    int,
    Tuned(
        "rows or columns",
        "longer side of a product from which on it is divided in two, and a quarter of the side of "
        "more blocks: every block packs the other matrix",
        TRANSFORMER,
    ),
] = 384
ATTENTION_PARTS: Annotated[
    int,
    Tuned(
        "parts of the batch",
        "greatest number of parts of an attention, each with memory for the weights of an image",
        TRANSFORMER,
    ),
] = 8
ROW_PARTS: Annotated[
    int, Tuned("parts of the rows", "parts of a sum over the rows of features", TRANSFORMER)
] = 8

# How work is divided among threads and sums

GRADIENT_PANEL_PIXELS: Annotated[
    int, Tuned("pixels", "pixels of a panel of the dense weight gradient", LAYERS)
] = 256
GRADIENT_PANEL_SHARES: Annotated[
    int,
    Tuned(
        "shares",
        "least number of shares of a dense weight gradient: where there are fewer panels of "
        "columns, the images are divided into parts",
        LAYERS,
    ),
] = 16
PANEL_SHARES: Annotated[
    int,
    Tuned(
        "shares",
        "least number of shares of a dense kernel's work: where there are fewer panels of pixels, "
        "each is packed for several parts of the output channels",
        LAYERS,
    ),
] = 32
PART_BLOCKS: Annotated[
    int,
    Tuned(
        "blocks of TILE_ROWS output channels",
        "least number of them in such a part, so that packing costs little",
        LAYERS,
    ),
] = 16

PART_CHANNELS: Annotated[
    int,
    Tuned(
        "output channels",
        "output channels of a part of a masked kernel's work on a single image",
        PREDICTOR,
    ),
] = 8
KEPT_GRADIENT_PARTS: Annotated[
    int,
    Tuned(
        "parts of the batch",
        "least number of parts of a masked weight gradient, if there are as many images",
        STEP,
    ),
] = 8
ROW_GRADIENT_PARTS: Annotated[
    int,
    Tuned("parts of the batch", "greatest number of parts of a row-packed weight gradient", STEP),
] = 8
WINOGRAD_GRADIENT_PARTS: Annotated[
    int,
    Tuned("parts of the batch", "greatest number of parts of Winograd's weight gradient", STEP),
] = 4
SWEEP_PIECE: Annotated[
    int,
    Tuned("weights", "piece of a layer that a thread sweeps over at a time", TRANSFORMER),
] = 2**19
THREAD_RANGES: Annotated[
    int,
    Tuned(
        "ranges",
        "ranges of a loop that threads share: enough for many threads, few enough to cost nothing",
        STEP,
    ),
] = 512
CLAIMS: Annotated[
    int,
    Tuned(
        "parts for each thread",
        "parts of a loop of a predictor that threads claim: many for an even share, few because "
        "every claim moves a cache line between cores",
        PREDICTOR,
    ),
] = 4
PAUSES: Annotated[
    int,
    Tuned(
        "pauses",
        "pauses of a thread that waits for another one, before it lets other programs run",
        PREDICTOR,
    ),
] = 1000
PREDICTOR_TRIALS: Annotated[
    int,
    Tuned(
        "runs",
        "runs by which the predictor decides whether threads share an image, and whether images "
        "run in groups; the first of each kind meets cold caches, and the least time counts",
        PREDICTOR,
    ),
] = 6
PREDICTOR_GROUPS: Annotated[
    tuple[int, ...],
    Tuned(
        "images",
        "images that the predictor computes at once where a layer has many weights to read; the "
        "least are fewer than ROW_MIN_IMAGES, so that the kernels, and the bits, are those of one "
        "image in every network",
        PREDICTOR,
    ),
] = (4, 16)
FLOAT_SUM_VECTORS: Annotated[
    int,
    Tuned(
        "vectors",
        "vectors that are summed in the dtype of the data before the sum is added in float64",
        PROFILE,
    ),
] = 128
PARALLEL_SUMS: Annotated[
    int,
    Tuned(
        "sums",
        "independent float64 sums of a sweep over weights, so that additions do not wait",
        STEP,
    ),
] = 8


def table() -> dict[str, tuple[Any, Tuned]]:
    """Value and description of every constant by name."""
    module = sys.modules[__name__]
    hints = get_type_hints(module, include_extras=True)
    return {name: (getattr(module, name), hint.__metadata__[0]) for name, hint in hints.items()}
