"""Makes data/digits.h5 from scikit-learn's copy of the UCI handwritten digits.

    pip install scikit-learn
    python data/make_digits.py

The 1,797 images are shuffled with seed 0; the first 1,000 are the training split, the other 797
the test split.  scikit-learn is needed here and nowhere else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fcpts_ref.data.dataset import Dataset, write_dataset
from fcpts_ref.data.split import Split

TRAIN = 1000
SEED = 0
PROVENANCE = (
    "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998), UCI Machine "
    "Learning Repository, https://doi.org/10.24432/C50P49; its test set of 1,797 images as "
    "distributed with scikit-learn; made by data/make_digits.py; "
    "sha256 of the images as uint8, row-major: {sha256}"
)


def main() -> None:
    """Write digits.h5 beside this file."""
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, np.newaxis]  # (N, 1, 8, 8), 0 .. 16
    labels = bunch.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(images))
    train, test = order[:TRAIN], order[TRAIN:]
    dataset = Dataset(
        name="digits",
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        label_names=tuple(str(digit) for digit in range(10)),
        scale=16,
        provenance=PROVENANCE.format(sha256=hashlib.sha256(images.tobytes()).hexdigest()),
        licence="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    )
    path = Path(__file__).with_name("digits.h5")
    write_dataset(path, dataset)
    print(f"{path.name}: {len(train)} training and {len(test)} test images")


if __name__ == "__main__":
    main()
