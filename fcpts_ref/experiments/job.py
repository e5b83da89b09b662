"""A job: everything that decides the outcome of a pruning run, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fcpts_ref.data.preprocessing import PRESETS, channel_numbers, preprocessing
from fcpts_ref.data.sources import SOURCES
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.projections import Projections
from fcpts_ref.interchange.importing import NORMALISATIONS, normalisation
from fcpts_ref.pruning.method import Method
from fcpts_ref.pruning.registry import METHODS, make_method
from fcpts_ref.pruning.selection import Selection
from fcpts_ref.pruning.settings import setting
from fcpts_ref.pruning.units import make_unit
from fcpts_ref.spec.budget import budget
from fcpts_ref.storage.json_files import as_json
from fcpts_ref.storage.records import check_record, record_from_json

INPUTS, PRUNING, COMPUTING = "network and data", "pruning", "computing"


@dataclass(frozen=True)
class Job:
    """A pruning run, checked on construction; ``to_json`` and ``from_json`` store it.

    network: a name or a file, also of another program; ``arch``, ``shortcut`` and ``normalise``,
        or ``mean`` and ``std``, say what its names leave open.  data: a name or a file.
        home: the folder where names are looked up; None for the default one.
    test_data: a name or a file, if the images to evaluate on are not in ``data``.
    preprocess: a name in ``PRESETS`` or numbers; None for the one stored with the network.
        skip_corrupt: leave out pictures that cannot be decoded.
    target: the global rate in [0, 1).  method: a name in ``METHODS``; settings: those of its
        settings that differ from their defaults, by field.
    calibration: number of training images, drawn by ``seed``; None for all, up to the number that
        the method asks for.
    keep_dense, max_rates, rates: layers left out, capped or fixed, by name or pattern, as in
        ``Selection``.  granularity, cost: the unit of pruning, and the quantity that the target is
        a share of, as in ``make_problem``.
    projections: whether the queries, keys and values of an attention are pruned as one matrix or as
        three (``split_projections``); the result then has three layers, which exports join.
    baselines: also evaluate the dense network and one-shot pruning.  batch_norm: add rows with
        re-estimated batch-norm statistics.  agreement: compare outputs with the dense network's.
        label: the method's name in tables.
    Raises InputError for anything else, in one line.
    """

    network: str = setting(
        "resnet8-digits",
        "the trained network: a name (in models/ of the package or of --home), an .h5 file of "
        "this program, or a PyTorch or safetensors checkpoint "
        "(default: resnet8-digits)",
        option="weights",
        metavar="NAME|FILE",
        group=INPUTS,
    )
    arch: str | None = setting(
        None,
        "architecture of another program's checkpoint, where its names do not tell it, such as "
        "mobilenet_v2 or resnet32 ('fcpts-ref models architectures' shows all)",
        metavar="NAME",
        group=INPUTS,
    )
    shortcut: Literal["A", "B"] | None = setting(
        None,
        "shortcuts of CIFAR's resnetN: A, zero padding, or B, 1x1 convolutions (default: as its "
        "names tell)",
        choices=("A", "B"),
        group=INPUTS,
    )
    normalise: str | None = setting(
        None,
        "mean and standard deviation that this checkpoint was trained with, unless it holds them: "
        f"{', '.join(NORMALISATIONS)}, or numbers such as 0.49,0.48,0.45/0.2023,0.1994,0.2010 "
        "(default: those of the program whose names it has; use none for one channel)",
        metavar="NAME|MEAN/STD",
        group=INPUTS,
    )
    mean: str | None = setting(
        None,
        "mean of each channel of images in [0, 1] that this checkpoint was trained with, as "
        "numbers such as 0.49,0.48,0.45 (default: that of --preprocess or --normalise)",
        metavar="NUMBERS",
        group=INPUTS,
    )
    std: str | None = setting(
        None, "its standard deviation, in the same form", metavar="NUMBERS", group=INPUTS
    )
    data: str = setting(
        "digits",
        "digits (in the package), cifar10 or cifar100 once prepared by 'fcpts-ref data', or "
        f"a path: {', '.join(f'{k}:PATH ({s.description})' for k, s in SOURCES.items())} (default: "
        "digits)",
        metavar="NAME|PATH",
        group=INPUTS,
    )
    test_data: str | None = setting(
        None,
        "data to evaluate on, if not the test images of --data: its test images, or all if it has "
        "no splits",
        metavar="NAME|PATH",
        group=INPUTS,
    )
    preprocess: str | None = setting(
        None,
        "how pictures are resized, cropped and ordered: "
        f"{', '.join(PRESETS)}, or resize/crop/filter such as 256/224/bilinear (default: as stored "
        "with the network)",
        metavar="NAME|NUMBERS",
        group=INPUTS,
    )
    skip_corrupt: bool = setting(
        False, "leave out pictures that cannot be decoded, and name them", group=INPUTS
    )
    home: str | None = setting(
        None,
        "where data and models are kept (default: $FCPTS_REF_HOME or the user's cache folder)",
        metavar="FOLDER",
        group=INPUTS,
    )
    target: float = setting(
        0.9,
        "share of all convolution and linear weights to set to zero (default: 0.9)",
        option="sparsity",
        metavar="RATE",
        group=PRUNING,
    )
    method: str = setting(
        "fcpts",
        "pruning method: %(choices)s (default: fcpts)",
        choices=METHODS,
        metavar="NAME",
        group=PRUNING,
    )
    settings: Mapping[str, Any] = setting(dict, "of the method")
    calibration: int | None = setting(
        None,
        "number of calibration images, drawn from the training images without their labels "
        "(default: all, up to the number that the method asks for)",
        metavar="N",
        group=PRUNING,
    )
    keep_dense: tuple[str, ...] = setting(
        (),
        "keep a layer dense and leave it out of the target, by name or pattern (conv1, layer1.*); "
        "may be repeated",
        metavar="LAYER",
        group=PRUNING,
    )
    max_rates: Mapping[str, float] = setting(
        dict,
        "cap the rate of a layer, by name or pattern; may be repeated",
        option="max-rate",
        metavar="LAYER=RATE",
        of=float,
        group=PRUNING,
    )
    rates: Mapping[str, float] = setting(
        dict,
        "fix the rate of a layer, by name or pattern; may be repeated",
        option="layer-rate",
        metavar="LAYER=RATE",
        of=float,
        group=PRUNING,
    )
    granularity: str = setting(
        "weight",
        "prune single weights (weight), all weights of a filter together (filter), blocks of R "
        "outputs by C inputs (RxC, such as 4x4), or so that N of every M neighbouring inputs stay "
        "(N:M, such as 2:4, with the rate 1 - N/M) (default: weight)",
        metavar="weight|filter|RxC|N:M",
        group=PRUNING,
    )
    cost: Literal["weights", "macs"] = setting(
        "weights",
        "what the rate is a share of: weights, met exactly, or multiply-accumulates, reached by "
        "pruning as few weights or filters as possible (default: weights)",
        group=PRUNING,
    )
    projections: Projections = setting(  # noqa: RUF009 - a field
        "joint",
        "the queries, keys and values of an attention as one layer with one rate, as they are "
        "stored, or as three (default: joint)",
        choices=("joint", "separate"),
        group=PRUNING,
    )
    batch_norm: bool = setting(
        False, "add rows with batch-norm statistics re-estimated after pruning", group=PRUNING
    )
    agreement: bool = setting(
        False,
        "also compare the outputs with the dense network's: share of equal predictions, and "
        "Kullback-Leibler divergence; always without labels",
        group=PRUNING,
    )
    storage: Literal["exact", "float16", "dense"] = setting(
        "exact",
        "how network.h5 is stored: exact, without the zeros; float16, its weights in half the "
        "room, with a row for the accuracy that this costs; or dense, with all zeros "
        "(default: exact)",
        group=PRUNING,
    )
    label: str | None = setting(
        None, "name of the method in tables and figures", metavar="NAME", group=PRUNING
    )
    baselines: bool = setting(
        True,
        "show the method alone, without the dense and the one-shot networks",
        option="no-baselines",
        group=PRUNING,
    )
    seed: int = setting(0, "seed of all randomness (default: 0)", group=COMPUTING)
    engine: Literal["numba", "numpy"] = setting(
        "numba",
        "compiled kernels, or the plain NumPy specification (default: numba)",
        group=COMPUTING,
    )

    def __post_init__(self) -> None:
        check_record(self, "the job")
        budget(self.target, 1)  # refuses a rate outside [0, 1)
        if self.normalise is not None:
            normalisation(self.normalise)
        if self.preprocess is not None:
            preprocessing(self.preprocess)
        for name in ("mean", "std"):
            if getattr(self, name) is not None:
                channel_numbers(getattr(self, name), name)
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; expected 0 or more")
        if self.calibration is not None and self.calibration < 1:
            raise InputError(
                f"calibration is {counted(self.calibration, 'image')}; expected 1 or more"
            )
        if self.label is not None and not (self.label.strip() and self.label.isprintable()):
            raise InputError(f"label is {self.label!r}; expected one line of printable text")
        self.make_method()
        make_unit(self.granularity)
        _ = self.selection

    @property
    def selection(self) -> Selection:
        """The layers to prune, and bounds on their rates."""
        return Selection(self.keep_dense, self.max_rates, self.rates)

    def make_method(self, **more: Any) -> Method:
        """Return the method with the job's settings, and ``more`` for those it leaves open."""
        return make_method(self.method, **{**more, **self.settings})

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON data, every field by name."""
        plain: dict[str, Any] = as_json(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Any) -> Job:
        """Return the job of a JSON object; fields may be left out.

        Raises InputError, one line, for an unknown or misspelt field or a bad value.
        """
        return record_from_json(cls, data, "the job")
