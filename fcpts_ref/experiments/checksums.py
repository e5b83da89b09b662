"""Checksums that pin the inputs of a run, and the versions that computed it."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version

import numpy as np

from fcpts_ref import __version__
from fcpts_ref.graphs.network import Network


def network_sha256(network: Network) -> str:
    """Return the SHA-256 of all parameters and buffers, names and bytes, in the graph's order."""
    digest = hashlib.sha256()
    stored = {**network.parameters, **network.buffers}
    for name in (*network.graph.parameter_shapes, *network.graph.buffer_shapes):
        array = stored[name]
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of this package, of Python, and of the packages that compute."""
    packages = {name: version(name) for name in ("numpy", "scipy", "numba", "h5py")}
    return {
        "fcpts-ref": __version__,
        **packages,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
