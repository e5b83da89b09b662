"""Networks by name."""

from __future__ import annotations

import pytest

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError


def test_names():
    assert architecture("resnet20") == resnet(20)
    assert architecture("resnet8", shortcut="B", classes=3) == resnet(8, shortcut="B", classes=3)
    graph = architecture("plain2", classes=4, input_shape=(1, 8, 8))
    assert graph.shapes["conv2"] == (32, 4, 4)
    assert graph.classes == 4


@pytest.mark.parametrize(
    "name",
    ["", "vgg16", "resnet", "resnet21", "resnet020", "plain", "plain0", "plain9", "resnet-8"],
)
def test_unknown_names(name):
    with pytest.raises(InputError) as caught:
        architecture(name)
    assert "\n" not in str(caught.value)
