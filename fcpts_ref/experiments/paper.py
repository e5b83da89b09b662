"""The paper's results, for comparison with ours: its Tables 2 to 4.

Fast and Controllable Post-training Sparsity (AAAI 2024), Table 2: top-1 and top-5 in percent of
ResNet-32 and ResNet-56 on CIFAR-10 and CIFAR-100, dense and at 70, 80 and 90 %.  Tables 3 and 4:
networks on ImageNet at 50 to 90 % and 50 to 70 %.  The paper does not say which vision
transformers its base and large ones are; ViT-B/32 and ViT-L/16 of torchvision have the nearest
dense accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE = "Tables 2 to 4 of the paper"
RATES, IMAGENET_RATES = (0.7, 0.8, 0.9), (0.5, 0.6, 0.7, 0.8, 0.9)

DENSE: dict[tuple[str, str], tuple[float, float]] = {
    ("cifar10", "resnet32"): (93.53, 99.77),
    ("cifar10", "resnet56"): (94.37, 99.83),
    ("cifar100", "resnet32"): (70.16, 90.89),
    ("cifar100", "resnet56"): (72.63, 91.94),
    ("imagenet", "resnet18"): (70.88, 90.45),
    ("imagenet", "resnet50"): (77.89, 93.76),
    ("imagenet", "regnet_x_200mf"): (68.41, 89.11),
    ("imagenet", "regnet_x_400mf"): (71.84, 90.55),
    ("imagenet", "mobilenet_v2"): (72.85, 91.61),
    ("imagenet", "vit_b_32"): (75.68, 92.94),
    ("imagenet", "vit_l_16"): (79.29, 94.78),
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
    ("imagenet", "resnet18", "pot l2norm"): (
        (70.06, 89.12),
        (68.40, 89.10),
        (63.72, 86.51),
        (44.94, 71.51),
        (6.03, 15.70),
    ),
    ("imagenet", "resnet18", "pot erk"): (
        (69.66, 89.40),
        (68.24, 88.62),
        (64.28, 86.40),
        (50.78, 75.59),
        (5.66, 15.81),
    ),
    ("imagenet", "resnet18", "probmask"): (
        (51.97, 79.65),
        (49.64, 78.19),
        (46.99, 76.29),
        (42.58, 72.58),
        (32.88, 64.33),
    ),
    ("imagenet", "resnet18", "fcpts"): (
        (70.07, 89.61),
        (69.58, 89.37),
        (68.50, 88.89),
        (65.83, 87.69),
        (57.40, 83.37),
    ),
    ("imagenet", "resnet50", "pot l2norm"): (
        (76.83, 93.81),
        (75.24, 93.22),
        (68.74, 89.44),
        (17.03, 30.31),
        (0.13, 0.42),
    ),
    ("imagenet", "resnet50", "pot erk"): (
        (75.43, 92.51),
        (72.38, 90.89),
        (63.76, 84.74),
        (22.92, 42.13),
        (0.17, 1.25),
    ),
    ("imagenet", "resnet50", "probmask"): (
        (49.34, 78.42),
        (47.42, 76.88),
        (44.50, 74.95),
        (39.47, 70.97),
        (28.40, 60.22),
    ),
    ("imagenet", "resnet50", "fcpts"): (
        (77.43, 93.55),
        (76.69, 93.38),
        (75.38, 92.87),
        (71.26, 91.23),
        (56.91, 84.86),
    ),
    ("imagenet", "regnet_x_200mf", "pot l2norm"): (
        (64.69, 87.08),
        (59.98, 84.40),
        (48.36, 75.86),
        (24.48, 49.90),
        (2.02, 7.42),
    ),
    ("imagenet", "regnet_x_200mf", "pot erk"): (
        (64.54, 86.44),
        (60.71, 84.40),
        (52.97, 79.46),
        (31.56, 60.02),
        (1.36, 4.83),
    ),
    ("imagenet", "regnet_x_200mf", "probmask"): (
        (50.23, 77.66),
        (47.67, 75.97),
        (44.61, 73.71),
        (39.43, 69.78),
        (29.87, 60.26),
    ),
    ("imagenet", "regnet_x_200mf", "fcpts"): (
        (66.57, 87.30),
        (65.30, 86.73),
        (62.80, 85.32),
        (57.44, 82.37),
        (40.90, 71.47),
    ),
    ("imagenet", "regnet_x_400mf", "pot l2norm"): (
        (67.54, 88.62),
        (65.68, 87.73),
        (56.63, 81.66),
        (28.55, 54.41),
        (2.32, 7.87),
    ),
    ("imagenet", "regnet_x_400mf", "pot erk"): (
        (69.97, 89.59),
        (67.07, 88.25),
        (60.40, 84.22),
        (37.10, 65.71),
        (1.23, 3.53),
    ),
    ("imagenet", "regnet_x_400mf", "probmask"): (
        (48.84, 77.17),
        (46.25, 75.54),
        (43.20, 73.15),
        (38.59, 69.14),
        (30.30, 60.96),
    ),
    ("imagenet", "regnet_x_400mf", "fcpts"): (
        (70.85, 90.17),
        (70.09, 89.73),
        (68.27, 89.13),
        (64.23, 87.15),
        (50.00, 78.97),
    ),
    ("imagenet", "mobilenet_v2", "pot l2norm"): (
        (65.51, 87.31),
        (57.95, 81.35),
        (21.60, 44.53),
        (0.22, 1.47),
        (0.10, 0.55),
    ),
    ("imagenet", "mobilenet_v2", "pot erk"): (
        (69.80, 89.66),
        (64.98, 87.14),
        (49.14, 76.25),
        (9.75, 25.30),
        (0.21, 0.77),
    ),
    ("imagenet", "mobilenet_v2", "probmask"): (
        (30.24, 63.68),
        (25.15, 57.52),
        (18.92, 48.66),
        (11.76, 35.48),
        (4.41, 16.75),
    ),
    ("imagenet", "mobilenet_v2", "fcpts"): (
        (70.52, 90.07),
        (68.10, 89.16),
        (61.18, 86.04),
        (40.20, 74.28),
        (13.99, 39.75),
    ),
    ("imagenet", "vit_b_32", "pot l2norm"): ((62.08, 83.92), (53.63, 77.08), (29.96, 53.16)),
    ("imagenet", "vit_b_32", "pot erk"): ((68.04, 89.91), (61.67, 71.48), (30.50, 55.30)),
    ("imagenet", "vit_b_32", "fcpts"): ((74.90, 92.99), (72.09, 91.47), (65.24, 87.74)),
    ("imagenet", "vit_l_16", "pot l2norm"): ((77.11, 93.91), (75.33, 93.06), (70.42, 90.78)),
    ("imagenet", "vit_l_16", "pot erk"): ((77.46, 94.22), (75.64, 93.33), (71.02, 91.23)),
    ("imagenet", "vit_l_16", "fcpts"): ((78.13, 94.41), (76.71, 93.73), (73.01, 92.07)),
}
"""Top-1 and top-5 at ``RATES``, or ``IMAGENET_RATES``, by data, network and method."""


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
    rates = IMAGENET_RATES if data == "imagenet" else RATES
    place = next((i for i, r in enumerate(rates) if abs(r - rate) < 1e-9), None)
    known = TABLE.get((data, network, name), ())
    if place is None or place >= len(known):
        return None
    top1 = known[place][0]
    return top1 / 100, (DENSE[data, network][0] - top1) / 100
