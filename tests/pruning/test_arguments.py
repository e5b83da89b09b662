"""Arguments of other types than sparsify's are refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_networks import make_network

import fcpts_ref
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError

NETWORK = make_network(resnet(8), dtype=np.float32)
IMAGES = np.zeros((2, *NETWORK.graph.input_shape), np.float32)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"seed": None}, "seed is of type NoneType; expected a whole number of at least 0"),
        ({"seed": 1.5}, "seed is of type float"),
        ({"seed": -1}, "seed is -1; expected at least 0"),
        ({"threads": "2"}, "threads is of type str"),
        ({"threads": 0}, "threads is 0; expected at least 1"),
        ({"keep_dense": "conv1"}, r"keep_dense is of type str; expected a tuple of names"),
        ({"max_rates": [("conv1", 0.5)]}, "max_rates is of type list; expected rates by layer"),
        ({"rates": 5}, "rates is of type int"),
        ({"granularity": 3}, "granularity is of type int"),
        ({"engine": 3}, "engine is of type int"),
        ({"network": None}, "network is of type NoneType; expected a Network"),
        ({"network": "network.h5"}, "network is of type str"),
    ],
)
def test_arguments_of_other_types(argument: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"network": NETWORK, "images": IMAGES, "target": 0.5, **argument}
    with pytest.raises(InputError, match=message) as caught:
        fcpts_ref.sparsify(given.pop("network"), given.pop("images"), **given)
    assert "\n" not in str(caught.value)
