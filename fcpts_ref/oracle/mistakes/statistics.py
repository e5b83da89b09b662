"""Mistakes in batch norm's running statistics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.reads import FED, fed_functions
from fcpts_ref.oracle.mistakes.values import stored_of, value_of, wide


def _new_buffer(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    node_name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == node_name)
    x, old = value_of(evidence, node.inputs[0]), evidence.state.buffers[evidence.item]
    m, M = node.attributes["momentum"], x.size // x.shape[1]
    unbiased = M / max(M - 1, 1)

    def statistics(x: Array) -> Array:
        axes = (0, 2, 3)
        return np.asarray(
            x.mean(axis=axes) if short == "running_mean" else x.var(axis=axes) * unbiased
        )

    def moved(batch: Array, rate: float = m, running: Array = old) -> Array:
        return np.asarray((1 - rate) * running + rate * batch)

    batch = statistics(x)
    yield "statistics-frozen", old
    yield "statistics-momentum-swapped", moved(batch, 1 - m)
    yield "statistics-of-batch", batch
    yield "statistics-moved-twice", moved(batch, running=moved(batch))
    yield (
        "statistics-momentum",
        Constant(
            lambda found: ratio(found - old, batch - old),
            lambda rate: moved(batch, rate),
            (0.0, m, 1 - m, 1.0),
        ),
    )
    yield (
        "statistics-from-dense",
        moved(batch, running=evidence.setting.network.buffers[evidence.item]),
    )
    yield "statistics-weighted-equally", moved(batch, 1 / (evidence.state.step + 1))
    for parts in (2, 4, 8):
        if len(x) % parts == 0 and len(x) >= 2 * parts:
            piece = np.split(x, parts)[0]
            n = piece.size // piece.shape[1]
            own = statistics(piece)
            if short == "running_var":
                own = own / unbiased * (n / (n - 1))
            yield f"bn-in-parts{MARK}{parts}", moved(own)
    scaled = x * wide(stored_of(evidence, node)["weight"])
    yield "bn-gamma-first", moved(statistics(scaled))
    for text, value, _ in fed_functions(x):
        yield f"{FED}{MARK}{text}", moved(statistics(value))
    if short == "running_var":
        yield "statistics-biased", moved(batch / unbiased)
        yield "statistics-unbiased-twice", moved(batch * unbiased)
        yield "statistics-second-moment", moved((x * x).mean(axis=(0, 2, 3)))
        yield "statistics-second-moment", moved((x * x).mean(axis=(0, 2, 3)) * unbiased)
        yield "statistics-deviation", moved(np.sqrt(batch))
        for text, count in (("images", len(x)), ("pixels", M // len(x)), ("channels", x.shape[1])):
            if count > 1:
                variance = batch / unbiased * count / (count - 1)
                yield f"statistics-unbiased-over{MARK}{text}", moved(variance)
        within = x.var(axis=(2, 3)).mean(axis=0)
        yield "statistics-within-images", moved(within)
    source = node.inputs[0]
    dense = evidence.given.get(f"dense_activation/{source}")
    if dense is not None:
        yield "statistics-of-dense", moved(statistics(dense))
        yield "statistics-moved-twice", moved(batch, running=moved(statistics(dense)))


VALUES: dict[str, Values] = {"new_buffer": _new_buffer}
