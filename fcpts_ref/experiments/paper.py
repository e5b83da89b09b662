"""The paper's results, for comparison with ours: its Table 2.

Fast and Controllable Post-training Sparsity (AAAI 2024), Table 2: top-1 and top-5 in percent of
ResNet-32 and ResNet-56 on CIFAR-10 and CIFAR-100, dense and at 70, 80 and 90 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE = "Table 2 of the paper"
RATES = (0.7, 0.8, 0.9)

DENSE: dict[tuple[str, str], tuple[float, float]] = {
    ("cifar10", "resnet32"): (93.53, 99.77),
    ("cifar10", "resnet56"): (94.37, 99.83),
    ("cifar100", "resnet32"): (70.16, 90.89),
    ("cifar100", "resnet56"): (72.63, 91.94),
}
"""Top-1 and top-5 by data and network."""

TABLE: dict[tuple[str, str, str], tuple[tuple[float, float], ...]] = {
    ("cifar10", "resnet32", "pot l2norm"): ((91.06, 99.64), (84.80, 98.85), (20.09, 71.73)),
    ("cifar10", "resnet32", "pot erk"): ((90.95, 99.62), (84.91, 98.59), (21.87, 74.36)),
    ("cifar10", "resnet32", "fcpts"): ((92.91, 99.77), (92.36, 99.73), (90.35, 99.65)),
    ("cifar10", "resnet56", "pot l2norm"): ((93.01, 99.74), (87.18, 98.83), (28.21, 72.24)),
    ("cifar10", "resnet56", "pot erk"): ((92.84, 99.70), (87.03, 98.47), (37.70, 70.33)),
    ("cifar10", "resnet56", "fcpts"): ((94.07, 99.83), (93.67, 99.78), (92.02, 99.78)),
    ("cifar100", "resnet32", "pot l2norm"): ((59.35, 86.47), (28.98, 63.09), (3.01, 11.55)),
    ("cifar100", "resnet32", "pot erk"): ((56.21, 84.71), (29.50, 62.64), (4.66, 14.30)),
    ("cifar100", "resnet32", "fcpts"): ((69.14, 91.07), (68.28, 90.87), (63.35, 89.38)),
    ("cifar100", "resnet56", "pot l2norm"): ((64.63, 88.90), (36.19, 69.07), (4.41, 13.00)),
    ("cifar100", "resnet56", "pot erk"): ((62.65, 88.16), (36.96, 69.44), (5.88, 17.37)),
    ("cifar100", "resnet56", "fcpts"): ((72.16, 92.02), (71.09, 91.90), (68.07, 90.51)),
}
"""Top-1 and top-5 at ``RATES`` by data, network and method."""


def paper_top1(
    data: str, network: str, rate: float, method: str, settings: Mapping[str, Any]
) -> tuple[float, float] | None:
    """Return the paper's top-1 and its drop against its own dense network, as shares.

    settings: all those of the method.  Returns None if the paper has no such number; it has none
    for FCPTS with fixed rates on CIFAR.
    """
    if not settings.get("learn_rates", True):
        return None
    name = f"pot {settings['allocation']}" if method == "pot" else method
    place = next((i for i, r in enumerate(RATES) if abs(r - rate) < 1e-9), None)
    if place is None or (data, network, name) not in TABLE:
        return None
    top1 = TABLE[data, network, name][place][0]
    return top1 / 100, (DENSE[data, network][0] - top1) / 100
