"""Random graphs, whose values have any number of readers."""

from __future__ import annotations

from hypothesis import strategies as st
from small_networks import classifier

from fcpts_ref.graphs.graph import Graph, Node

OPERATIONS = (
    "convolution", "pointwise", "batch_norm", "relu", "relu6", "add", "average_pool", "clip",
    "silu", "hard_swish", "dropout", "excite", "halves", "max_pool",
)  # fmt: skip
EPSILON = 0.1  # keeps batch norm of a channel that hardly varies well conditioned


class Builder:
    """Nodes of a graph whose values all have the same number of channels."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.nodes: list[Node] = []

    def put(self, operation: str, *inputs: str) -> str:
        C = self.channels
        attributes = {
            "first": {"in_channels": 3, "out_channels": C, "kernel": 3, "padding": 1},
            "convolution": {"in_channels": C, "out_channels": C, "kernel": 3, "padding": 1},
            "depthwise": {
                "in_channels": C,
                "out_channels": C,
                "kernel": 3,
                "padding": 1,
                "groups": C,
            },
            "grouped": {"in_channels": C, "out_channels": C, "kernel": 1, "groups": C // 2 or 1}
            if C % 2 == 0
            else {"in_channels": C, "out_channels": C, "kernel": 1},
            "strided": {"in_channels": C, "out_channels": C, "kernel": 3, "stride": 2},
            "pointwise": {"in_channels": C, "out_channels": C, "kernel": 1, "bias": True},
            "batch_norm": {"channels": C, "epsilon": EPSILON},
            "average_pool": {"kernel": 3, "stride": 1, "padding": 1},
            "max_pool": {"kernel": 3, "stride": 1, "padding": (0, 2, 2, 0)},
            "clip": {"low": -0.5, "high": 1.0},
            "mean": {"axes": (1, 2)},
            "concat": {"axis": 0},
            "first half": {"axis": 0, "start": 0, "stop": C // 2},
            "second half": {"axis": 0, "start": C // 2, "stop": C},
            "subsample": {"stride": 2},
        }.get(operation, {})
        kind = "convolution" if "kernel" in attributes and "pool" not in operation else operation
        kind = "slice" if operation.endswith("half") else kind
        if operation == "strided":
            attributes |= {"padding": 1}
        self.nodes.append(Node(f"{operation}{len(self.nodes)}", kind, inputs, attributes))
        return self.nodes[-1].name

    def put_several(self, operation: str, value: str) -> str:
        """Squeeze and excitation, or the halves of the channels exchanged."""
        if operation == "excite":
            gate = self.put("sigmoid", self.put("mean", value))
            return self.put("multiply", gate, value)
        halves = (self.put(name, value) for name in ("second half", "first half"))
        return self.put("concat", *halves)

    def join_unread(self, values: list[str]) -> str:
        """One value that depends on all: the sum of those that no node reads."""
        read = {name for node in self.nodes for name in node.inputs}
        total, *others = [name for name in values if name not in read]
        for other in others:
            total = self.put("add", total, other)
        return total


@st.composite
def graphs(draw, operations: tuple[str, ...] = OPERATIONS, classes: int | None = None) -> Graph:
    """Two stages of random nodes, the second on images half as large.

    classes: of a linear layer at the end; None for the mean of the channels.
    """
    builder = Builder(draw(st.sampled_from((3, 8))))
    value = builder.put("first", "images")
    every = [value]
    for stage in range(2):
        values = [value]
        for operation in draw(st.lists(st.sampled_from(operations), min_size=1, max_size=7)):
            inputs = [draw(st.sampled_from(values[-3:]))]
            if operation == "add":
                inputs.append(draw(st.sampled_from(values)))
            several = operation in ("excite", "halves")
            put = builder.put_several if several else builder.put
            values.append(put(operation, *inputs))
        every += values
        value = builder.join_unread(values)
        if stage == 0:
            value = builder.put(draw(st.sampled_from(("subsample", "strided"))), value)
    value = builder.put("global_average_pool", value)
    if classes is not None:
        sizes = {"in_features": builder.channels, "out_features": classes}
        builder.nodes.append(Node("linear", "linear", (value,), sizes))
        return Graph("random", {"images": (3, 16, 16)}, tuple(builder.nodes), {"logits": "linear"})
    outputs = {"logits": value}
    if draw(st.booleans()):
        outputs["extra"] = draw(st.sampled_from(every))
    return Graph("random", {"images": (3, 16, 16)}, tuple(builder.nodes), outputs)


def scaled_branch() -> Graph:
    """y = batch_norm(convolution(x)) + convolution(x)"""
    builder = Builder(4)
    value = builder.put("first", "images")
    builder.put("global_average_pool", builder.put("add", builder.put("batch_norm", value), value))
    return classifier("scaled branch", (3, 16, 16), tuple(builder.nodes))
