"""Folders by class, ImageNet's and VOC's layouts, and CSV files, found without decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import class_folders, save

from fcpts_ref.data import sources
from fcpts_ref.data.csv_file import read_csv
from fcpts_ref.data.folder import read_folder
from fcpts_ref.data.imagenet_labels import LABEL_FILES
from fcpts_ref.data.sources import find_dataset
from fcpts_ref.data.voc import annotation_of
from fcpts_ref.errors import InputError

IDS = ("n01440764", "n01494475", "n01530575")


def names(split: Any) -> list[str]:
    return [path.name for path in split.images.paths]


# Folders


def test_a_folder_of_classes(tmp_path: Path) -> None:
    class_folders(tmp_path / "pets", ("dog", "cat"), 2)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / ".hidden").mkdir()
    data = find_dataset(f"folder:{tmp_path / 'pets'}", None)
    assert data.name == "pets"
    assert data.label_names == ("cat", "dog")
    assert names(data.train) == ["cat_0.png", "cat_1.png", "dog_0.png", "dog_1.png"]
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert len(data.test) == 0
    assert data.image_shape is None
    assert data.augmentation == "resized-crop-flip"


@pytest.mark.parametrize("name", ["val", "test", "validation"])
def test_splits_of_a_folder(tmp_path: Path, name: str) -> None:
    class_folders(tmp_path / "train", ("a", "b", "c"), 1)
    class_folders(tmp_path / name, ("c", "a"), 1)
    data = read_folder(tmp_path)
    assert data.label_names == ("a", "b", "c")
    assert data.test.labels.tolist() == [0, 2]


def test_pictures_without_labels(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "train" / f"{i}.JPG", i)
    class_folders(tmp_path / "val", ("a", "b"), 1)
    data = read_folder(tmp_path)
    assert data.train.labels is None
    assert data.test.labels.tolist() == [0, 1]
    alone = read_folder(tmp_path / "train")
    assert (alone.label_names, len(alone.train), len(alone.test)) == ((), 3, 0)


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", ("x", "y"), 1)
    (tmp_path / "a" / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no pictures \(\.jpg"):
        read_folder(tmp_path / "a")
    with pytest.raises(InputError, match="no such file or folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a part of the path is not a folder"):
        read_folder(tmp_path / "a" / "x" / "x_0.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="b holds no pictures"):
        read_folder(tmp_path / "b")
    class_folders(tmp_path / "c" / "train", ("x",), 1)
    class_folders(tmp_path / "c" / "val", ("z",), 1)
    with pytest.raises(InputError, match="the test class 'z' is not among the 1 training class"):
        read_folder(tmp_path / "c")


# ImageNet


def imagenet(root: Path, *, train: bool = True, flat: bool = True) -> Path:
    """Three classes in ImageNet's official layout; the label of picture i is i % 3."""
    if train:
        class_folders(root / "train", IDS, 2)
    for i in range(1, 7):
        name = f"ILSVRC2012_val_{i:08}.png"
        save(root / "val" / name if flat else root / "val" / IDS[i % 3] / name, 50 + i)
    return root


def label_file(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    stems = [f"ILSVRC2012_val_{i:08}" for i in range(1, 7)]
    ids = [IDS[i % 3] for i in range(1, 7)]
    if name == "val.txt":
        path.write_text("".join(f"{s}.JPEG {i % 3}\n" for i, s in enumerate(stems, start=1)))
    elif name.endswith(".csv"):
        rows = [f"{s},{n} 1 2 3 4 \n" for s, n in zip(stems, ids, strict=True)]
        path.write_text("ImageId,PredictionString\n" + "".join(reversed(rows)))
    elif name.endswith("ground_truth.txt"):
        from scipy.io import savemat

        numbers = {n: 7 - i for i, n in enumerate(IDS)}  # its own numbers, in another order
        path.write_text("".join(f"{numbers[n]}\n" for n in ids))
        synsets = np.array(
            [(numbers[n], n, "words") for n in IDS],
            dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)],
        )
        savemat(path.parent / "meta.mat", {"synsets": synsets}, do_compression=True)
    else:
        path.write_text("".join(f"{n}\n" for n in ids))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", LABEL_FILES)
def test_a_flat_validation_folder(tmp_path: Path, name: str, train: bool) -> None:
    label_file(imagenet(tmp_path, train=train), name)
    data = find_dataset(f"imagenet:{tmp_path}", None)
    assert data.test.labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert names(data.test)[0] == "ILSVRC2012_val_00000001.png"
    assert len(data.train) == (6 if train else 0)
    assert data.label_names == (("0", "1", "2") if name == "val.txt" and not train else IDS)


def test_class_folders_for_validation(tmp_path: Path) -> None:
    data = find_dataset(f"imagenet:{imagenet(tmp_path, flat=False)}", None)
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_imagenets_labels_that_do_not_fit(tmp_path: Path) -> None:
    root = imagenet(tmp_path)
    with pytest.raises(InputError, match=r"no labels lie beside it; expected one of val\.txt"):
        find_dataset(f"imagenet:{root}", None)
    for text, message in (
        ("ILSVRC2012_val_00000001 0\n", "has no label for ILSVRC2012_val_00000002.png"),
        ("".join(f"ILSVRC2012_val_{i:08}.JPEG 3\n" for i in range(1, 7)), "label 3 is not among"),
        ("".join(f"ILSVRC2012_val_{i:08} n9\n" for i in range(1, 7)), "label n9 is not among"),
    ):
        (root / "val.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            find_dataset(f"imagenet:{root}", None)
    (root / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text"):
        find_dataset(f"imagenet:{root}", None)
    (root / "val.txt").unlink()
    lines = root / "imagenet_2012_validation_synset_labels.txt"
    lines.write_text("n01440764\n")
    with pytest.raises(InputError, match="1 label for 6 pictures"):
        find_dataset(f"imagenet:{root}", None)
    with pytest.raises(InputError, match="holds neither train nor val"):
        find_dataset(f"imagenet:{root / 'train'}", None)


@pytest.mark.parametrize("content", [b"", b"x" * 500])
def test_a_development_kit_that_is_damaged(tmp_path: Path, content: bytes) -> None:
    name = list(LABEL_FILES)[-1]
    label_file(imagenet(tmp_path), name)
    (tmp_path / name).with_name("meta.mat").write_bytes(content)
    with pytest.raises(InputError, match="is no little-endian MATLAB file of version 5; get"):
        find_dataset(f"imagenet:{tmp_path}", None)


def test_a_development_kit_that_unpacks_to_too_much(tmp_path: Path) -> None:
    import struct
    import zlib

    name = list(LABEL_FILES)[-1]
    label_file(imagenet(tmp_path), name)
    body = zlib.compress(bytes(40 << 20))
    (tmp_path / name).with_name("meta.mat").write_bytes(
        bytes(126) + b"IM" + struct.pack("<II", 15, len(body)) + body
    )
    with pytest.raises(
        InputError, match=r"meta\.mat unpacks to more than 16,777,216 bytes: refused; get"
    ):
        find_dataset(f"imagenet:{tmp_path}", None)


# VOC


def test_voc(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / "JPEGImages" / f"2007_{i:06}.jpg", i)
    alone = find_dataset(f"voc:{tmp_path}", None)
    assert (len(alone.train), len(alone.test), alone.train.labels) == (4, 0, None)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("2007_000001\n2007_000003\n")
    (lists / "val.txt").write_text("2007_000003\n2007_000002\n")
    data = find_dataset(f"voc:{tmp_path}", None)
    assert names(data.train) == ["2007_000001.jpg", "2007_000003.jpg"]
    assert names(data.test) == ["2007_000002.jpg"]  # none is in both
    expected = tmp_path / "Annotations" / "2007_000001.xml"
    assert annotation_of(data.train.images.paths[0]) == expected
    (lists / "val.txt").write_text("2007_000009\n")
    with pytest.raises(InputError, match="2007_000009 is not in JPEGImages"):
        find_dataset(f"voc:{tmp_path}", None)
    with pytest.raises(InputError, match="holds no JPEGImages"):
        find_dataset(f"voc:{lists}", None)


# CSV


def listing(root: Path, text: str) -> str:
    for i in range(3):
        save(root / "p" / f"{i}.png", i)
    (root / "list.csv").write_text(text)
    return str(root / "list.csv")


def test_a_csv_file(tmp_path: Path) -> None:
    text = "\ufefffile,class_index,note\np/0.png,7,x\np/1.png,2,\n\n"
    data = find_dataset(listing(tmp_path, text), None)
    assert data.train.labels.tolist() == [7, 2]
    assert len(data.label_names) == 8
    assert data.numbered
    assert data.name == "list"
    data = find_dataset(
        listing(tmp_path, f"file,label\np/0.png,007\np/1.png,{'0' * 5000}2\n"), None
    )
    assert data.train.labels.tolist() == [7, 2]
    assert len(data.label_names) == 8
    text = "path,label,split\np/0.png,owl,train\np/1.png,cat,val\np/2.png,owl,test\n"
    data = find_dataset(listing(tmp_path, text), None)
    assert data.label_names == ("cat", "owl")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1], [0, 1])
    data = find_dataset(listing(tmp_path, f'image\n"{tmp_path}/p/0.png"\n'), None)
    assert data.train.labels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its heading has none of the columns file"),
        ("a,b\n1,2\n", "its heading has none of the columns file"),
        ("file\n", "lists no pictures"),
        ("file,label\np/0.png,1\np/9.png,2\n", "line 3: there is no picture 'p/9.png'"),
        ("file,label\np/0.png\n", "line 2 has 1 column, the heading has 2"),
        ("file,label\np/0.png,1\np/1.png,\n", "some pictures have a label and some have none"),
        ("file,label\np/0.png,99999999999\n", "label 99999999999 is above"),
        ("file,label\np/0.png,00001492806570\n", "label 1492806570 is above"),
        (f"file,label\np/0.png,{'9' * 5000}\n", "label 9{80} is above"),
        ("file,split\np/0.png,later\n", "split 'later'; expected train or test"),
        ('file\n"p/0.png', "is not a CSV file in UTF-8"),
        ("file\n\udcff\n", "is not a CSV file in UTF-8"),
    ],
)
def test_csv_files_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    path = listing(tmp_path, "")
    Path(path).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message) as caught:
        find_dataset(path, None)
    assert "\n" not in str(caught.value)


def test_the_folders_have_no_endings() -> None:
    assert [k for k, s in sources.SOURCES.items() if not s.endings] == ["folder", "imagenet", "voc"]


def test_a_csv_file_of_one_endless_line_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"file,label\n" + bytes(1 << 20))
    with pytest.raises(InputError, match="a line of over 65,536 bytes"):
        read_csv(tmp_path / "a.csv")
