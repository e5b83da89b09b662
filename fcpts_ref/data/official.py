"""The addresses, sizes and checksums of the official CIFAR archives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BASE_URL = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True)
class OfficialArchive:
    """One file of the official site."""

    dataset: Literal["cifar10", "cifar100"]
    version: Literal["binary", "python"]
    file: str
    size: int  # bytes
    sha256: str

    @property
    def url(self) -> str:
        """The address of the file."""
        return BASE_URL + self.file


# The site itself publishes MD5 sums only.  Sizes and SHA-256 of the binary versions are those
# pinned by TensorFlow Datasets (tensorflow_datasets/url_checksums/cifar10.txt, cifar100.txt);
# the SHA-256 of the Python versions are those pinned by Keras (keras/src/datasets/cifar10.py,
# cifar100.py), and their sizes are those in the download output of torchvision's documentation.
OFFICIAL_ARCHIVES = (
    OfficialArchive(
        "cifar10",
        "binary",
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    OfficialArchive(
        "cifar10",
        "python",
        "cifar-10-python.tar.gz",
        170_498_071,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ),
    OfficialArchive(
        "cifar100",
        "binary",
        "cifar-100-binary.tar.gz",
        168_513_733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    OfficialArchive(
        "cifar100",
        "python",
        "cifar-100-python.tar.gz",
        169_001_437,
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    ),
)


def official_archive(dataset: str, version: str = "binary") -> OfficialArchive | None:
    """Return the archive of a data set in one version, None if there is none."""
    matches = (a for a in OFFICIAL_ARCHIVES if (a.dataset, a.version) == (dataset, version))
    return next(matches, None)
