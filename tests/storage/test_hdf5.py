"""HDF5 as a plain container: refusals, and that a full disk harms nothing."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.storage.hdf5 import (
    MAX_TEXT,
    open_checked,
    open_hdf5,
    read_array,
    read_group,
    read_integer,
    read_text,
    write_array,
    write_hdf5,
    write_text,
)

FORMAT = "a test format"


def fill(file):
    write_array(file, "a", np.arange(6, dtype=np.float32).reshape(2, 3))
    file.create_group("g")


@pytest.fixture
def path(tmp_path):
    write_hdf5(tmp_path / "a.h5", FORMAT, 2, fill)
    return tmp_path / "a.h5"


def change(path, action):
    with h5py.File(path, "r+") as file:
        action(file)


def test_round_trip(path):
    with open_hdf5(path, FORMAT, 2) as file:
        array = read_array(file, "a", "<f4", 2)
        assert read_integer(file, "version") == 2
        assert len(read_group(file, "g")) == 0
    assert array.dtype == np.float32
    assert np.array_equal(array, np.arange(6).reshape(2, 3))


def test_the_same_contents_give_the_same_bytes(tmp_path, path):
    write_hdf5(tmp_path / "b.h5", FORMAT, 2, fill)
    assert (tmp_path / "b.h5").read_bytes() == path.read_bytes()


def test_an_older_version_is_read_and_a_newer_one_refused(path):
    with open_hdf5(path, FORMAT, 3):
        pass
    with (
        pytest.raises(InputError, match=r"version 2 .* reads 1: update"),
        open_hdf5(path, FORMAT, 1),
    ):
        pass


def test_absent_foreign_and_truncated_files(tmp_path, path):
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:-100])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name, message in [
        ("absent.h5", "cannot read .*absent"),
        ("text.h5", "not an HDF5 file"),
        ("cut.h5", "not an HDF5 file or is cut short"),
        ("other.h5", "not of the format 'a test format'"),
    ]:
        with pytest.raises(InputError, match=message), open_hdf5(tmp_path / name, FORMAT, 2):
            pass


def refused(path, message, read):
    with pytest.raises(InputError, match=message), open_hdf5(path, FORMAT, 2) as file:
        read(file)


def test_another_dtype_rank_or_kind_is_refused(path):
    refused(path, "a is float32 with 2 dimensions", lambda f: read_array(f, "a", "<f8", 2))
    refused(path, "a is float32 with 2 dimensions", lambda f: read_array(f, "a", "<f4", 1))
    refused(path, "g should be an array", lambda f: read_array(f, "g", "<f4", 1))
    refused(path, "a should be a group", lambda f: read_group(f, "a"))
    refused(path, "/b is missing", lambda f: read_array(f, "b", "<f4", 1))
    refused(path, "attribute b is missing", lambda f: read_text(f, "b"))
    refused(path, "version should be one text", lambda f: read_text(f, "version"))
    refused(path, "format should be one integer", lambda f: read_integer(f, "format"))


def test_an_array_that_claims_more_than_the_file_has_is_refused_without_memory(path):
    def claim(file):
        del file["a"]
        file.create_dataset("a", (1 << 40,), np.float32)  # contiguous, never written

    change(path, claim)
    refused(path, "not wholly in the file", lambda f: read_array(f, "a", "<f4", 1))

    def compress(file):
        del file["a"]
        file.create_dataset("a", (1 << 40,), np.float32, chunks=(1 << 20,), compression="gzip")

    change(path, compress)
    refused(path, "stored contiguously", lambda f: read_array(f, "a", "<f4", 1))


def test_links_out_of_the_file_are_refused(path, tmp_path):
    (tmp_path / "secret").write_bytes(b"\0" * 24)

    def link(file):
        file["soft"] = h5py.SoftLink("/a")
        file["external"] = h5py.ExternalLink("a.h5", "/a")
        file.create_dataset("raw", (6,), np.float32, external=[(str(tmp_path / "secret"), 0, 24)])

    change(path, link)
    refused(path, "link to another place", lambda f: read_array(f, "soft", "<f4", 2))
    refused(path, "link to another place", lambda f: read_array(f, "external", "<f4", 2))
    refused(path, "inside the file", lambda f: read_array(f, "raw", "<f4", 1))


def test_a_path_through_a_link_out_of_the_file_is_refused(path, tmp_path):
    write_hdf5(tmp_path / "b.h5", FORMAT, 1, fill)
    change(path, lambda file: file.__setitem__("other", h5py.ExternalLink("b.h5", "/")))
    refused(path, "link to another place", lambda f: read_array(f, "other/a", "<f4", 2))
    refused(path, "missing", lambda f: read_array(f, "g//a", "<f4", 2))
    refused(path, "missing", lambda f: read_array(f, "a/a", "<f4", 2))


def many_names_of_one_array(file):
    for number in range(2_000):
        file[f"g/{number}"] = file["a"]


def groups_that_share_groups(file):
    below = file["g"]
    for level in range(40):  # 2 ** 40 paths
        above = file.create_group(f"level{level}")
        above["left"] = above["right"] = below
        below = above


def deep_groups(file):
    file.create_group("/".join("d" * 50))


def a_group_in_itself(file):
    file["g/again"] = file["g"]


@pytest.mark.parametrize(
    "action", [many_names_of_one_array, groups_that_share_groups, deep_groups, a_group_in_itself]
)
def test_a_file_that_multiplies_its_contents_is_refused_on_opening(path, action):
    change(path, action)
    with (
        pytest.raises(InputError, match="refused"),
        open_checked(path),
    ):
        pass


def test_chunks_are_read_up_to_the_size_asked_for(path):
    def compress(file):
        file.create_dataset("c", data=np.arange(100.0), chunks=(50,), compression="gzip")

    change(path, compress)
    with open_checked(path) as file:
        assert read_array(file, "c", "<f8", 1, max_unpacked=800).tolist() == list(range(100))
    refused(path, "contiguously", lambda f: read_array(f, "c", "<f8", 1, max_unpacked=799))


def test_chunks_with_a_foreign_filter_are_refused(path):
    def compress(file):
        file.create_dataset("c", data=np.arange(100.0), chunks=(50,), compression="lzf")

    change(path, compress)
    refused(path, "unusual", lambda f: read_array(f, "c", "<f8", 1, max_unpacked=800))


def test_a_changed_array_does_not_match_its_checksum(path):
    change(path, lambda file: file["a"].__setitem__((0, 0), 9))
    refused(path, "/a does not match its checksum", lambda f: read_array(f, "a", "<f4", 2))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes in the file system are POSIX")
@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_a_pipe_or_device_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe or a device"), open_checked(tmp_path / name):
        pass


def test_texts_of_variable_length_are_read_and_long_ones_refused(path):
    def attributes(file):
        file.attrs["variable"] = "text"
        file.attrs["number"] = 3
        file.attrs["several"] = ["a", "b"]
        file.attrs["long"] = np.bytes_(b"x" * (MAX_TEXT + 1))
        file.attrs["long and variable"] = "x" * (MAX_TEXT + 1)

    change(path, attributes)
    with open_checked(path) as file:
        assert read_text(file, "variable") == "text"
    for name in ("number", "several"):
        refused(path, "one text", lambda f, name=name: read_text(f, name))
    for name in ("long", "long and variable"):
        refused(path, "longer than", lambda f, name=name: read_text(f, name))


@pytest.mark.parametrize("text", ["", "a\0b", "x" * (MAX_TEXT + 1)])
def test_texts_that_cannot_be_stored(tmp_path, text):
    with pytest.raises(InputError, match="expected a text of 1 to"):
        write_hdf5(tmp_path / "a.h5", FORMAT, 1, lambda file: write_text(file, "t", text))
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
import numpy as np
from fcpts_ref.errors import InputError
from fcpts_ref.storage.hdf5 import write_array, write_hdf5
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_hdf5(sys.argv[1], "f", 1, lambda file: write_array(file, "a", np.ones(50_000)))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on file sizes is POSIX")
def test_when_the_disk_is_full_the_process_lives_and_the_earlier_file_stays(path):
    before = path.read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert "would be larger than is allowed" in run.stdout
    assert run.stderr == ""
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["a.h5"]
