"""CIFAR archives: every version read, everything else refused in one line."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import struct
import tarfile
import tracemalloc
from pathlib import Path

import cifar_layouts as layouts
import numpy as np
import pytest
from cifar_layouts import N, binary_version, dump_python2, python_version, write_folder, write_tar
from damage import damaged_copies, survives

from fcpts_ref.data.cifar import LAYOUTS, read_cifar_archive, to_dataset
from fcpts_ref.data.cifar_pickle import read_cifar_pickle, read_labels, read_names
from fcpts_ref.data.dataset import read_dataset, write_dataset
from fcpts_ref.errors import InputError

VERSIONS = {
    "binary": binary_version,
    "python 2": lambda dataset: python_version(dataset, dump_python2),
    "python 3": lambda dataset: python_version(dataset, layouts.dump_python3),
    "python 3, protocol 5": lambda d: python_version(d, layouts.dump_python3_new_protocol),
    "python 3, protocol 2": lambda d: python_version(d, layouts.dump_python3_old_protocol),
}


@pytest.mark.parametrize("container", ["tar", "folder", "folder above"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_every_version_gives_the_same_images_and_labels(tmp_path, dataset, version, container):
    contents = VERSIONS[version](dataset)
    if container == "tar":
        path = write_tar(tmp_path / "a.tar.gz", contents)
    else:
        path = write_folder(tmp_path / "above" / "cifar", contents)
        path = path.parent if container == "folder above" else path
    archive = read_cifar_archive(path)
    files = layouts.cifar10_files() if dataset == "cifar10" else layouts.cifar100_files()
    *train, test = files.values()
    train_images = np.concatenate([images for images, _ in train])
    assert archive.dataset == dataset
    assert archive.version == version.split()[0]
    assert np.array_equal(archive.train_images, train_images.reshape(5 * N, 3, 32, 32))
    assert np.array_equal(archive.test_images, test[0].reshape(N, 3, 32, 32))
    assert np.array_equal(archive.train_labels, np.concatenate([part for _, part in train], axis=1))
    assert np.array_equal(archive.test_labels, test[1])
    assert not archive.official
    assert archive.source == path.name
    for name, content in contents.items():
        assert archive.checksums[name] == hashlib.sha256(content).hexdigest()


def test_as_a_data_set_with_fine_and_coarse_labels(tmp_path):
    archive = read_cifar_archive(write_tar(tmp_path / "a.tar.gz", binary_version("cifar100")))
    fine, coarse = to_dataset(archive), to_dataset(archive, "coarse")
    assert fine.augmentation == coarse.augmentation == "crop-flip"
    assert (fine.name, coarse.name) == ("cifar100", "cifar100-coarse")
    assert (fine.label_names, coarse.label_names) == (
        tuple(layouts.HUNDRED),
        tuple(layouts.TWENTY),
    )
    assert np.array_equal(fine.test.labels, layouts.cifar100_files()["test"][1][1])
    assert np.array_equal(coarse.test.labels, layouts.cifar100_files()["test"][1][0])
    assert archive.checksums["a.tar.gz"] in fine.provenance
    write_dataset(tmp_path / "a.h5", fine)
    assert np.array_equal(read_dataset(tmp_path / "a.h5").train.images, archive.train_images)


def test_cifar10_has_no_coarse_labels(tmp_path):
    archive = read_cifar_archive(write_tar(tmp_path / "a.tar.gz", binary_version("cifar10")))
    assert to_dataset(archive).label_names == tuple(layouts.TEN)
    with pytest.raises(InputError, match="cifar10 has no coarse labels"):
        to_dataset(archive, "coarse")


@pytest.mark.parametrize("version", ["binary", "python 2"])
def test_a_subset_of_any_size_in_every_file(tmp_path, version):
    contents = VERSIONS[version]("cifar10")
    if version == "binary":
        contents["data_batch_3.bin"] = contents["data_batch_3.bin"][:3073]
    else:
        images, labels = layouts.cifar10_files()["data_batch_3"]
        first = {"labels": labels[0, :1].tolist(), "data": images[:1]}
        contents["data_batch_3"] = dump_python2(first)
    archive = read_cifar_archive(write_folder(tmp_path / "a", contents))
    whole = read_cifar_archive(write_folder(tmp_path / "b", VERSIONS[version]("cifar10")))
    kept = np.r_[0 : 2 * N + 1, 3 * N : 5 * N]
    assert np.array_equal(archive.train_images, whole.train_images[kept])
    assert np.array_equal(archive.train_labels[0], whole.train_labels[0][kept])
    assert np.array_equal(archive.test_images, whole.test_images)


def test_more_records_than_official_are_refused(tmp_path):
    batch = {"data": np.zeros((10_001, 3072), np.uint8), "labels": [0] * 10_001}
    contents = python_version("cifar10", dump_python2)
    contents["test_batch"] = layouts.dump_python3(batch)
    with pytest.raises(InputError, match="test_batch: 10,001 records, expected 1 to 10,000"):
        read_cifar_archive(write_folder(tmp_path / "a", contents))


def test_the_checksum_asked_for(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", binary_version("cifar10"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    read_cifar_archive(path, sha256=digest.upper())
    with pytest.raises(InputError, match=f"has SHA-256 {digest}, expected 00"):
        read_cifar_archive(path, sha256="00")
    with pytest.raises(InputError, match="is a folder, expected the archive"):
        read_cifar_archive(tmp_path, sha256=digest)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: f"{x.dataset} {x.version}")
def test_a_missing_file_is_named(tmp_path, layout):
    version = "binary" if layout.version == "binary" else "python 2"
    contents = VERSIONS[version](layout.dataset)
    for number, name in enumerate(contents):
        rest = {other: content for other, content in contents.items() if other != name}
        with pytest.raises(InputError, match=rf"(^|\W){name} missing: get the archive again"):
            read_cifar_archive(write_folder(tmp_path / str(number), rest))


def test_no_files_and_files_of_two_versions(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no CIFAR files found"):
        read_cifar_archive(tmp_path / "empty")
    write_folder(tmp_path / "two" / "a", binary_version("cifar10"))
    write_folder(tmp_path / "two" / "b", binary_version("cifar100"))
    with pytest.raises(InputError, match="more than one CIFAR version"):
        read_cifar_archive(tmp_path / "two")
    write_folder(tmp_path / "two" / "c", binary_version("cifar10"))
    with pytest.raises(InputError, match="is there twice"):
        read_cifar_archive(tmp_path / "two")


def test_paths_that_are_not_archives(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "zipped").write_bytes(gzip.compress(b"no tar"))
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        read_cifar_archive(tmp_path / "absent")
    for name in ("text", "empty", "zipped"):
        with pytest.raises(InputError, match=r"truncated or damaged, expected a \.tar\.gz"):
            read_cifar_archive(tmp_path / name)


def test_an_archive_that_the_browser_has_unzipped(tmp_path):
    contents = binary_version("cifar10")
    packed = write_tar(tmp_path / "a.tar.gz", contents)
    (tmp_path / "a.tar").write_bytes(gzip.decompress(packed.read_bytes()))
    assert np.array_equal(
        read_cifar_archive(tmp_path / "a.tar").test_images, read_cifar_archive(packed).test_images
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", r"a \.zip archive: unpack it and give the folder"),
        (bz2.compress(b"x"), r"a \.tar\.bz2 archive: unpack it"),
        (lzma.compress(b"x"), r"a \.tar\.xz archive: unpack it"),
        (b"7z\xbc\xaf\x27\x1c", r"a \.7z archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"  <!DOCTYPE html>", "a web page"),
    ],
)
def test_other_files_are_recognised_with_a_remedy(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_cifar_archive(tmp_path / "a")
    assert "get it again" not in str(caught.value)
    assert str(caught.value).count(str(tmp_path / "a")) == 1


@pytest.mark.skipif(os.name == "nt", reason="pipes in the file system are POSIX")
@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_a_pipe_or_device_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe or a device"):
        read_cifar_archive(tmp_path / name)


def with_changed(name, change):
    contents = binary_version("cifar10")
    return contents | {name: change(contents[name])}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "data_batch_2.bin",
            lambda c: c[:-1],
            r"data_batch_2.bin: 12,291 bytes, expected whole records of 3073",
        ),
        ("data_batch_2.bin", lambda c: c + b"x", "12,293 bytes, expected whole records"),
        ("data_batch_2.bin", lambda c: 2501 * c, "30,742,292 bytes, expected at most 30,730,000"),
        ("test_batch.bin", lambda c: b"", "test_batch.bin: 0 records, expected 1 to 10,000"),
        ("test_batch.bin", lambda c: c[:3073] + b"\x0a" + c[3074:], "record 1 has labels 10"),
        ("test_batch.bin", lambda c: b"\xff" + c[1:], "record 0 has labels 255, expected 0 to 9"),
        ("batches.meta.txt", lambda c: b"cat\ndog\n", "2 names for labels, expected 10"),
        ("batches.meta.txt", lambda c: c.replace(b"class 1", b"cl\x07"), "names for labels"),
    ],
)
def test_corrupt_binary_files(tmp_path, name, change, message):
    with pytest.raises(InputError, match=message):
        read_cifar_archive(write_folder(tmp_path / "a", with_changed(name, change)))


def test_coarse_labels_have_their_own_range(tmp_path):
    contents = binary_version("cifar100")
    contents["test.bin"] = b"\x14\x63" + contents["test.bin"][2:]
    with pytest.raises(InputError, match="record 0 has coarse_labels 20, expected 0 to 19"):
        read_cifar_archive(write_folder(tmp_path / "a", contents))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({}, "data are nothing"),
        ({"data": np.zeros((N, 3071), np.uint8)}, r"data are \(4, 3071\), expected \(N, 3072\)"),
        ({"data": np.zeros((N, 3072, 1), np.uint8)}, r"data are \(4, 3072, 1\)"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "0 records, expected 1 to"),
        ({"data": [0]}, "data are nothing"),
        ({"data": np.zeros((N, 3072), np.uint8)}, "list of integer labels"),
        ({"data": np.zeros((N, 3072), np.uint8), "labels": [0, 1, 2]}, "3 labels, expected 4"),
        ({"data": np.zeros((N, 3072), np.uint8), "labels": [0, 1, 2, 10]}, "record 3 has labels"),
        ({"data": np.zeros((N, 3072), np.uint8), "labels": [0, 1, 2, -1]}, "labels -1, expected"),
        ({"data": np.zeros((N, 3072), np.uint8), "labels": ["a"] * 4}, "list of integer labels"),
    ],
)
def test_corrupt_pickled_files(tmp_path, batch, message):
    contents = python_version("cifar10", dump_python2) | {"test_batch": dump_python2(batch)}
    with pytest.raises(InputError, match=message):
        read_cifar_archive(write_folder(tmp_path / "a", contents))


def test_a_pickle_that_is_not_a_dict_and_names_that_are_not_names():
    with pytest.raises(InputError, match="a pickled list, expected a dict"):
        read_cifar_pickle(dump_python2([1]))
    for value in (None, "abc", [1]):
        with pytest.raises(InputError, match="list of names"):
            read_names(value)
    for value in (None, [True], [1.0], [1 << 40]):
        with pytest.raises(InputError, match="list of integer labels"):
            read_labels(value)


def test_arrays_stored_column_by_column():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = read_cifar_pickle(layouts.dump_python3({"data": np.asfortranarray(array)}))["data"]
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.float32),
        np.zeros(3, np.int8),
        np.array([print], dtype=object),
        np.zeros(3, [("a", "u1")]),
    ],
)
def test_arrays_of_anything_but_bytes_are_refused(array):
    for dump in (
        layouts.dump_python3,
        layouts.dump_python3_old_protocol,
        layouts.dump_python3_new_protocol,
    ):
        with pytest.raises(InputError, match=r"pickle, before byte"):
            read_cifar_pickle(dump({"data": array}))


def test_arrays_that_may_not_be_written_to():
    """Protocol 5 stores their bytes by another operation."""
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    array.flags.writeable = False
    found = read_cifar_pickle(layouts.dump_python3_new_protocol({"data": array}))["data"]
    assert np.array_equal(found, array)


def test_an_array_that_claims_more_than_it_brings():
    content = dump_python2({"data": np.zeros((2, 3), np.uint8)})
    claimed = content.replace(struct.pack("<i", 2) + b"J", struct.pack("<i", 1 << 30) + b"J")
    assert claimed != content
    with pytest.raises(InputError, match="shape does not fit its bytes"):
        read_cifar_pickle(claimed)


ATTACKS = [
    b"cos\nsystem\n(U\x0btouch ownedtR.",
    b"c__builtin__\neval\n(U\x031+1tR.",
    b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\nK\x00\x85U\x01btR.",
    b"cnumpy.core.multiarray\n_reconstruct\n(U\x01aK\x00\x85U\x01btR.",
    b"cnumpy\nndarray\n(I1\nI2\ntR.",
    b"cnumpy\ndtype\n(U\x01OtR.",
    b"c_codecs\nencode\n(U\x01aU\x06base64tR.",
    b"c_codecs\ndecode\n(U\x01aU\x06base64tR.",
    b"cnumpy\nload\n(U\x01atR.",
    b"(ios\nsystem\n.",
    b"(cos\nsystem\nU\x02lso.",
    b"}}b.",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_malicious_pickles_are_refused_and_never_run(tmp_path, attack, monkeypatch):
    for name in ("os.system", "builtins.eval", "numpy.load"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("it was run"))
    with pytest.raises(InputError, match=r"pickle, before byte|broken pickle"):
        read_cifar_pickle(b"\x80\x02" + attack)
    contents = python_version("cifar10", dump_python2) | {"test_batch": b"\x80\x02" + attack}
    with pytest.raises(InputError, match=r"test_batch: "):
        read_cifar_archive(write_folder(tmp_path / "a", contents))


def test_a_pickle_that_multiplies_itself_is_refused():
    text = b"T" + struct.pack("<i", 100_000) + b"x" * 100_000 + b"q\x00"
    call = b"h\x01h\x00U\x06latin1\x86R"
    bomb = b"\x80\x02(" + text + b"c_codecs\nencode\nq\x01" + call * 10_000 + b"t."
    tracemalloc.start()
    with pytest.raises(InputError, match="multiplies its own contents"):
        read_cifar_pickle(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000  # the bomb would take a gigabyte


# Archives that try something


def tar_with(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, target="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (member("../test.bin"), "leads out of the archive"),
        (member("/etc/test.bin"), "leads out of the archive"),
        (member("a/test.bin", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (member("a/test.bin", tarfile.LNKTYPE, "b"), "is a link or a device"),
        (member("a/test.bin", tarfile.CHRTYPE), "is a link or a device"),
    ],
)
def test_links_and_paths_out_of_the_archive(tmp_path, info, message):
    with pytest.raises(InputError, match=message):
        read_cifar_archive(tar_with(tmp_path / "a.tar.gz", (info, b"")))


def test_a_member_of_absurd_size_is_refused_before_it_is_read(tmp_path):
    info = member("a/train.bin", size=1 << 33)
    header = info.tobuf()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header))
    with pytest.raises(InputError, match="has 8,589,934,592 bytes, expected at most"):
        read_cifar_archive(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.REGTYPE, "unpacks to more than 3000000 bytes"),
        (tarfile.XHDTYPE, "a header of 4,294,967,296 bytes"),
        (tarfile.GNUTYPE_LONGNAME, "a header of 4,294,967,296 bytes"),
    ],
)
def test_a_compressed_bomb_is_refused(tmp_path, kind, message, monkeypatch):
    monkeypatch.setattr("fcpts_ref.data.archive.MAX_UNPACKED", 3_000_000)
    header = member("a/other", kind, size=1 << 32).tobuf()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header + bytes(20_000_000)))
    tracemalloc.start()
    with pytest.raises(InputError, match=message):
        read_cifar_archive(tmp_path / "a.tar.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000


@pytest.mark.parametrize("version", ["binary", "python 2"])
def test_damaged_archives_are_refused_or_read_right(tmp_path, version):
    path = write_tar(tmp_path / "a.tar.gz", VERSIONS[version]("cifar100"))
    whole = read_cifar_archive(path)
    found = [
        survives(read_cifar_archive, tmp_path / "damaged.tar.gz", content)
        for content in damaged_copies(path.read_bytes(), 200)
    ]
    assert sum(archive is None for archive in found) > 180
    for archive in filter(None, found):  # damage in gzip's own time stamp, say
        assert np.array_equal(archive.train_images, whole.train_images)


def test_damaged_pickles_are_refused_or_read():
    content = python_version("cifar100", dump_python2)["test"]
    for damaged in damaged_copies(content[:400] + content[-600:], 1500):
        with pytest.raises(InputError):  # the cut in the middle is damage enough
            read_cifar_pickle(damaged)
    for damaged in damaged_copies(layouts.dump_python3({"labels": [1, 2], "a": "b"}), 1500):
        try:
            assert isinstance(read_cifar_pickle(damaged), dict)
        except InputError:
            continue


REAL = os.environ.get("FCPTS_REF_TEST_CIFAR10")


@pytest.mark.skipif(not REAL, reason="FCPTS_REF_TEST_CIFAR10 does not name a CIFAR-10 archive")
def test_the_real_cifar10(tmp_path):
    archive = read_cifar_archive(Path(REAL))
    dataset = to_dataset(archive)
    assert dataset.name == "cifar10"
    assert dataset.label_names[0] == "airplane"
    assert dataset.label_names[9] == "truck"
    assert dataset.train.images.shape == (50_000, 3, 32, 32)
    assert dataset.test.images.shape == (10_000, 3, 32, 32)
    assert np.array_equal(np.bincount(dataset.train.labels), [5000] * 10)
    assert np.array_equal(np.bincount(dataset.test.labels), [1000] * 10)
    # The channel means known to every user of CIFAR-10.
    means = dataset.train.images.mean(axis=(0, 2, 3)) / 255
    assert np.abs(means - [0.4914, 0.4822, 0.4465]).max() <= 5e-5
    write_dataset(tmp_path / "cifar10.h5", dataset)
    assert np.array_equal(read_dataset(tmp_path / "cifar10.h5").test.images, dataset.test.images)
