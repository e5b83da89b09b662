"""Recognition of a checkpoint's architecture from the names and shapes of its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fcpts_ref.architectures.layouts import Layout
from fcpts_ref.architectures.registry import Architecture, architectures_for
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Shape
from fcpts_ref.interchange.names import is_counter, without_wrapper

Shapes = Mapping[str, Shape]


@dataclass(frozen=True)
class Recognised:
    """An architecture that fits a checkpoint.

    graph: with our names; ``layout.apply`` gives it the checkpoint's.  settings: what the shapes
    decide: classes, width, and so on.  sources: the full name of every array in the checkpoint, by
    the name that the layout gives it.
    """

    name: str
    row: Architecture
    layout: Layout
    settings: Mapping[str, Any]
    graph: Graph
    sources: Mapping[str, str]

    @property
    def shortcut(self) -> str | None:
        """The option of CIFAR's resnetN, "A" or "B"."""
        return self.layout.settings.get("shortcut")

    @property
    def description(self) -> str:
        """The architecture and whose names it has, as text."""
        option = f" with shortcuts of option {self.shortcut}" if self.shortcut else ""
        width = self.settings.get("width", 1.0)
        width = f" of width {width:g}" if width != 1.0 else ""
        return f"{self.name}{width}{option} under the names of {self.layout.source}"


def recognise(
    shapes: Shapes, *, input_shape: tuple[int, int, int] | None = None
) -> list[Recognised]:
    """Return every architecture whose arrays have exactly these names and shapes.

    shapes: of a checkpoint's arrays, without masks.  input_shape: of the images, by default the
    architecture's own size.  The classes and the channels of the images follow from the shapes.
    """
    state = {name: shape for name, shape in shapes.items() if not is_counter(name)}
    short = without_wrapper(state)
    found = []
    for name, row in architectures_for(short):
        for layout in row.layouts:
            sources = {layout.simplify(key): full for key, full in short.items()}
            simple = {key: state[full] for key, full in sources.items()}
            fits = _fit(row, layout, simple, input_shape)
            if fits is not None:
                graph, settings = fits
                found.append(Recognised(name, row, layout, settings, graph, sources))
    return found


def closest(shapes: Shapes) -> tuple[str, Layout, Graph] | None:
    """Return the architecture, its layout and graph that share the most names with a checkpoint.

    The graph has the classes and widths with which the most of the shapes fit, too.
    None if not even half of the names are shared.
    """
    short = without_wrapper(name for name in shapes if not is_counter(name))
    state = {name: shapes[full] for name, full in short.items()}
    best, most = None, 0.5
    for name, row in architectures_for(state):
        for layout in row.layouts:
            expected = set(_expected(layout.apply(row.graph(**layout.settings))))
            share = len(state.keys() & expected) / len(state.keys() | expected)
            if share > most:
                best, most = (name, row, layout), share
    if best is None:
        return None
    name, row, layout = best
    graphs = [layout.apply(graph) for graph, _ in _graphs(row, layout, state, None)]
    graphs.append(layout.apply(row.graph(**layout.settings)))
    return name, layout, max(graphs, key=lambda graph: _fitting(graph, state))


def _fitting(graph: Graph, state: Shapes) -> int:
    """Return how many of the arrays have the shapes of the graph's."""
    expected = _expected(graph).items()
    return sum(name in state and same_layer(state[name], shape) for name, shape in expected)


def _fit(
    row: Architecture, layout: Layout, state: Shapes, input_shape: tuple[int, int, int] | None
) -> tuple[Graph, dict[str, Any]] | None:
    """Return the graph that has exactly these arrays, and its settings; None if there is none."""
    plain = row.graph(**layout.settings)
    ours = _names(plain, layout)
    if set(state) - _constants(plain) != set(ours.values()):
        return None
    for graph, settings in _graphs(row, layout, state, input_shape):
        expected = _expected(graph)
        if all(same_layer(state[ours[name]], shape) for name, shape in expected.items()):
            return graph, settings
    return None


def _graphs(
    row: Architecture, layout: Layout, state: Shapes, input_shape: tuple[int, int, int] | None
) -> Iterator[tuple[Graph, dict[str, Any]]]:
    """Yield graphs with the classes, channels and widths of a checkpoint's arrays, and these.

    Arrays that are absent, or have too few axes, are taken to be as the architecture has them.
    """
    plain = row.graph(**layout.settings)
    own = _expected(plain)
    found = {
        name: _aligned(state.get(theirs, own[name]), own[name])
        for name, theirs in _names(plain, layout).items()
    }
    first, last = found[plain.prunable[0]], found[plain.prunable[-1]]
    size = input_shape or (first[1], *plain.input_shape[1:])
    for variant in row.variants(found):
        settings = {"classes": last[0], "input_shape": size, **variant}
        with suppress(InputError):  # these images are too small for it, or sizes are not possible
            yield row.graph(**layout.settings, **settings), settings


def _aligned(found: Shape, own: Shape) -> Shape:
    """Return the shape without the axes of a 1x1 convolution; ``own`` if axes are missing."""
    if len(found) > len(own) and same_layer(found, found[: len(own)]):
        return found[: len(own)]
    return found if len(found) >= len(own) else own


def same_layer(found: Shape, expected: Shape) -> bool:
    """Whether the shapes are the same for a layer.

    A 1x1 convolution is a linear layer, and arrays that PyTorch repeats for every image, such as a
    class token, have axes of length 1 in front.
    """
    if len(expected) == 2 and found == (*expected, 1, 1):
        return True
    return found == (1,) * (len(found) - len(expected)) + tuple(expected)


def _expected(graph: Graph) -> dict[str, Shape]:
    """The shapes of all stored arrays but the constants, by name."""
    return {name: s.shape for name, s in graph.stored.items() if s.role != "constant"}


def _constants(graph: Graph) -> set[str]:
    return {name for name, stored in graph.stored.items() if stored.role == "constant"}


def _names(graph: Graph, layout: Layout) -> dict[str, str]:
    """The layout's name of every array, by ours."""
    names = {}
    for full in _expected(graph):
        node, _, short = full.rpartition(".")
        names[full] = f"{layout.name(node)}.{short}"
    return names
