"""A graph split at its batch norms, which in training mode need the whole batch.

Between two batch norms on a path every image passes through the network by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from fcpts_ref.graphs.graph import Graph, Node


@dataclass(frozen=True)
class Segment:
    """A part of a graph that runs image by image once its batch norms have their statistics.

    batch_norms: its batch norms, whose inputs are all among ``reads``.
    reads: the values that exist before it and that it or a later segment reads; inputs included.
    graph: computes the values that later segments read and the outputs that it has; its inputs are
    some of ``reads``.  None if the segment computes nothing.
    """

    batch_norms: tuple[Node, ...]
    reads: tuple[str, ...]
    graph: Graph | None

    @property
    def writes(self) -> tuple[str, ...]:
        """The values that it computes for others."""
        return () if self.graph is None else tuple(self.graph.outputs)


def split_at_batch_norms(graph: Graph) -> tuple[Segment, ...]:
    """Return the segments of a graph in the order in which they run.

    A node runs as late as the batch norms that depend on it allow, so that few values cross from
    one segment to the next.
    """
    order = _segment_of_each_node(graph)
    last_read = {
        value: max((order[reader.name] for reader in readers), default=-1)
        for value, readers in graph.readers.items()
    }
    written = {**dict.fromkeys(graph.inputs, -1), **order}  # inputs exist before the first segment
    returned = set(graph.outputs.values())
    segments = []
    for k in range(max(order.values()) + 1):
        reads = tuple(v for v, at in written.items() if at < k <= last_read[v])
        writes = tuple(
            v for v, at in order.items() if at == k and (last_read[v] > k or v in returned)
        )
        norms = tuple(n for n in graph.nodes if order[n.name] == k and n.operation == "batch_norm")
        segments.append(Segment(norms, reads, graph.between(reads, writes) if writes else None))
    return tuple(segments)


def _segment_of_each_node(graph: Graph) -> dict[str, int]:
    """Return the index of every node's segment, by the node's name."""
    after: dict[str, int] = {}  # how many batch norms follow a value on one path, at most
    for node in reversed(graph.nodes):
        following = [after[r.name] + _normalises(r) for r in graph.readers[node.name]]
        after[node.name] = max(following, default=0)
    most = max(after[node.name] + _normalises(node) for node in graph.nodes)
    return {node.name: most - after[node.name] for node in graph.nodes}


def _normalises(node: Node) -> bool:
    return node.operation == "batch_norm"
