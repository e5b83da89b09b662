"""Inference with a network whose weights stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.blas_threads import check_numba_variables
from fcpts_ref.graphs.network import Network, check_images
from fcpts_ref.storage.network_files import read_network

Array = NDArray[Any]


class Predictor:
    """A classifier that is ready to run: weights packed, batch norm folded, memory planned.

    threads: default all.  An image's logits do not depend on them, to the last bit, and if
    ``compiled`` not on the other images of its batch either.
    compiled: whether one compiled call runs the whole network.  Steps without a kernel of their
    own, such as the products of transformers, are called from Python.
    Weights that are 0 are skipped if the network has masks.  Batches may have any size; memory
    does not grow with it.
    Raises InputError for a network that is not a classifier of one input, for more threads than
    are available, and where the activations need more memory than is free.
    """

    def __init__(self, network: Network, *, threads: int | None = None) -> None:
        check_numba_variables()
        from fcpts_ref.engines.numba.jit.compilation import check_compiler
        from fcpts_ref.engines.numba.predictor import NumbaPredictor  # compiles on import

        check_compiler()
        self.network = network
        self._numba = NumbaPredictor(network, threads)
        self.threads, self.compiled = self._numba.threads, self._numba.compiled

    def logits(self, images: Array) -> Array:
        """Return logits (N, classes) for images (N, C, H, W) in [0, 1], in the network's dtype.

        Raises InputError for images that the network cannot read.
        """
        images = check_images(self.network.graph, images)
        return self._numba.logits(images.astype(self.network.dtype, copy=False))

    def probabilities(self, images: Array) -> Array:
        """Return the softmax of the logits, (N, classes), in the network's dtype.

        Raises InputError as ``logits``.
        """
        logits = self.logits(images)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: Array = powers / powers.sum(axis=1, keepdims=True)
        return shares


def load_predictor(path: Path | str, *, threads: int | None = None) -> Predictor:
    """Return the predictor of a network's .h5 file, or of an ONNX file.

    threads: default all cores.  An ONNX file needs the extra ``onnx``.
    Raises InputError for a file that cannot be read, and as ``Predictor``.
    """
    if Path(path).suffix.lower() == ".onnx":
        from fcpts_ref.interchange.onnx.importing import import_onnx

        return Predictor(import_onnx(path).network, threads=threads)
    return Predictor(read_network(path)[0], threads=threads)
