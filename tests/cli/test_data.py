"""fcpts-ref data: archives become data sets that other commands find."""

from __future__ import annotations

from pathlib import Path

import cifar_layouts as layouts
import numpy as np
import pytest
from commands import Run, one_line

from fcpts_ref.cli import data as command
from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.data.official import OfficialArchive
from fcpts_ref.errors import InputError


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_prepared_data_are_found_by_name(run: Run, tmp_path: Path, name: str) -> None:
    archive = layouts.write_tar(tmp_path / "a.tar.gz", layouts.binary_version(name))
    home = tmp_path / "home"
    result = run("data", "prepare", name, "--from", archive, "--home", home)
    assert result.code == 0, result.err
    assert str(home / "data" / f"{name}.h5") in result.out
    assert "not the official archive" in result.out
    dataset = read_dataset(home / "data" / f"{name}.h5")
    assert len(dataset.label_names) == int(name.removeprefix("cifar"))
    assert dataset.train.images.shape == (5 * layouts.N, 3, 32, 32)


def test_python_version_folder_and_coarse_labels(run: Run, tmp_path: Path) -> None:
    folder = layouts.write_folder(
        tmp_path / "a", layouts.python_version("cifar100", layouts.dump_python3)
    )
    out = tmp_path / "coarse.h5"
    words = ("--from", folder, "--labels=coarse", "--out", out, "--json")
    result = run("data", "prepare", "cifar100", *words)
    assert result.json["classes"] == 20
    assert np.unique(read_dataset(out).train.labels).max() < 20


def test_the_wrong_archive(run: Run, tmp_path: Path) -> None:
    archive = layouts.write_tar(tmp_path / "a.tar.gz", layouts.binary_version("cifar10"))
    result = run("data", "prepare", "cifar100", "--from", archive, "--home", tmp_path)
    assert result.code == 2
    assert "holds cifar10, not cifar100" in result.err


def test_an_earlier_file_survives_a_bad_archive(run: Run, tmp_path: Path) -> None:
    good = layouts.write_tar(tmp_path / "a.tar.gz", layouts.binary_version("cifar10"))
    words = ("data", "prepare", "cifar10", "--home", tmp_path)
    assert run(*words, "--from", good).code == 0
    before = (tmp_path / "data" / "cifar10.h5").read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(good.read_bytes()[:-5000])
    for more in (("--from", cut), ("--from", good, "--sha256", "0" * 64), ("--from", "absent")):
        result = run(*words, *more)
        assert result.code == 2
        assert one_line(result.err)
    assert (tmp_path / "data" / "cifar10.h5").read_bytes() == before


def test_download_fetches_into_the_home_folder_then_prepares(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fetched file is the one that is read; fetching itself is tested in test_download.py."""

    def fetch(archive: OfficialArchive, folder: Path, *, progress: bool) -> Path:
        assert archive.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
        folder.mkdir(parents=True)
        return layouts.write_tar(folder / archive.file, layouts.binary_version("cifar10"))

    monkeypatch.setattr(command, "download_archive", fetch)
    result = run("data", "download", "cifar10", "--home", tmp_path, "--quiet")
    assert result.code == 0, result.err
    assert (tmp_path / "downloads" / "cifar-10-binary.tar.gz").exists()
    assert (tmp_path / "data" / "cifar10.h5").exists()


def test_a_failed_download_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **more: object) -> Path:
        raise InputError("cannot reach the server: check the connection")

    monkeypatch.setattr(command, "download_archive", fail)
    result = run("data", "download", "cifar100", "--home", tmp_path)
    assert result.code == 2
    assert one_line(result.err)
