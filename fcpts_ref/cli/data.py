"""fcpts-ref data: CIFAR-10, CIFAR-100 and pictures of one's own in this program's format."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fcpts_ref.cli.packing import PICTURES, add_packing_options, prepare_pictures
from fcpts_ref.cli.sources import add_home_option
from fcpts_ref.cli.stored import add_list
from fcpts_ref.data.cifar import read_cifar_archive, to_dataset
from fcpts_ref.data.dataset import Dataset, read_dataset, write_dataset
from fcpts_ref.data.download import download_archive
from fcpts_ref.data.locations import home_folder
from fcpts_ref.data.official import official_archive
from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.files import lock_folder

NAMES = ("cifar10", "cifar100")
EPILOG = """\
examples:
  fcpts-ref data download cifar10      fetch the official archive and prepare it
  fcpts-ref data prepare cifar10 --from cifar-10-binary.tar.gz
  fcpts-ref data prepare cifar100 --from cifar-100-python/
  fcpts-ref data prepare folder pictures/ pictures.h5 --size 256
  fcpts-ref data prepare imagenet ILSVRC2012/ imagenet.h5 --size 256

CIFAR is written to the folder data in --home, where for instance
'fcpts-ref sparsify --data cifar10' finds it.  Pictures are decoded and resized
once; 'fcpts-ref sparsify --data pictures.h5' then reads them quickly.
"""


def add_parser(subparsers: Any) -> None:
    """Add the commands to ``subparsers``."""
    parser = subparsers.add_parser(
        "data",
        help="prepare or download CIFAR-10 and CIFAR-100, pack pictures",
        description="Convert CIFAR-10, CIFAR-100 or pictures to one HDF5 file each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    prepare = _add_action(
        actions,
        "prepare",
        "make the HDF5 file from an official archive or from pictures",
        _prepare_any,
        (*NAMES, *PICTURES),
    )
    group = prepare.add_argument_group("CIFAR")
    group.add_argument(
        "--from",
        dest="source",
        metavar="PATH",
        help="the official archive, Python or binary version, as .tar.gz or unpacked",
    )
    group.add_argument("--sha256", metavar="DIGITS", help="the SHA-256 that the archive must have")
    add_packing_options(prepare)
    add_list(actions, "data set", "data", _described)
    download = _add_action(actions, "download", "fetch the official archive and prepare it", _fetch)
    download.add_argument("--quiet", action="store_true", help="no progress bar")


def _described(path: Path) -> dict[str, str]:
    """Return the row of ``data list``.  Raises InputError for a file that is no data set."""
    data = read_dataset(path)
    shape = data.image_shape
    return {
        "images": "any size" if shape is None else "x".join(map(str, shape)),
        "classes": str(len(data.label_names)),
        "training": f"{len(data.train):,}",
        "test": f"{len(data.test):,}",
    }


def _add_action(
    actions: Any, name: str, text: str, run: Any, names: tuple[str, ...] = NAMES
) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    action.add_argument("name", choices=names, help="the data set, or the kind of pictures")
    action.add_argument(
        "--labels",
        choices=("fine", "coarse"),
        default="fine",
        help="labels of CIFAR-100: 100 fine or 20 coarse classes (default: fine)",
    )
    action.add_argument("--out", metavar="FILE", help="default: data/NAME.h5 in --home")
    add_home_option(action)
    action.add_argument("--json", action="store_true", help="print the result as JSON")
    action.set_defaults(run=run, sha256=None)
    return action


def _prepare_any(arguments: argparse.Namespace) -> int:
    if arguments.name in PICTURES:
        return prepare_pictures(arguments)
    if arguments.source is None or arguments.path is not None:
        raise InputError(f"{arguments.name} is made from an archive: give its path by --from")
    return _prepare(arguments)


def _prepare(arguments: argparse.Namespace) -> int:
    archive = read_cifar_archive(arguments.source, sha256=arguments.sha256)
    if archive.dataset != arguments.name:
        raise InputError(
            f"{arguments.source} holds {archive.dataset}, not {arguments.name}; give the name of "
            "the data set that it holds"
        )
    dataset = to_dataset(archive, arguments.labels)
    path = Path(arguments.out or home_folder(arguments.home) / "data" / f"{arguments.name}.h5")
    with lock_folder(path.parent):
        write_dataset(path, dataset)
    _show(arguments, dataset, path, archive.official)
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    official = official_archive(arguments.name)
    assert official is not None  # the parser admits only names that have one
    folder = home_folder(arguments.home) / "downloads"
    arguments.source = download_archive(official, folder, progress=not arguments.quiet)
    return _prepare(arguments)


def _show(arguments: argparse.Namespace, dataset: Dataset, path: Path, official: bool) -> None:
    summary = {
        "data": dataset.name,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "classes": len(dataset.label_names),
        "official": official,
        "provenance": dataset.provenance,
        "file": str(path),
    }
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return
    known = "the official archive" if official else "not the official archive, by its checksum"
    print(
        f"{dataset.name}: {len(dataset.train):,} training and "
        f"{counted(len(dataset.test), 'test image')} in "
        f"{counted(len(dataset.label_names), 'class', 'classes')} ({known})\nwritten to {path}"
    )
