"""Files written whole or not at all, and folders one process writes to."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import (
    check_regular_file,
    describe_failure,
    file_sha256,
    lock_folder,
    write_atomically,
)


def test_writes_a_new_file_and_replaces_an_old_one(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, lambda temporary: temporary.write_text("one") and None)
    write_atomically(str(path), lambda temporary: temporary.write_text("two") and None)
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), ValueError("bug")])
def test_a_failure_keeps_the_earlier_file_and_leaves_nothing_behind(tmp_path, failure):
    path = tmp_path / "a.txt"
    path.write_text("earlier")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise failure

    with pytest.raises(ValueError) as caught:
        write_atomically(path, fail)
    assert isinstance(caught.value, InputError) == isinstance(failure, OSError)
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_named_with_a_remedy(tmp_path):
    def fill_up(temporary: Path) -> None:
        temporary.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"cannot write .*a\.txt: no space left .* free some"):
        write_atomically(tmp_path / "a.txt", fill_up)


def test_a_file_system_failure_told_by_hdf5_is_understood(tmp_path):
    def fail(temporary: Path) -> None:
        raise RuntimeError(f"write failed: errno = 28, message = '{os.strerror(errno.ENOSPC)}'")

    with pytest.raises(InputError, match="no space left"):
        write_atomically(tmp_path / "a.h5", fail)


def test_any_failure_that_hdf5_numbers_is_understood(tmp_path):
    """As h5py says it where closing a file fails."""

    def fail(temporary: Path) -> None:
        raise RuntimeError(
            "Can't decrement id ref count (unable to extend file properly, errno = 5, error "
            "message = 'Input/output error')"
        )

    with pytest.raises(InputError, match=r"^cannot write \S*a.h5: Input/output error$"):
        write_atomically(tmp_path / "a.h5", fail)


def test_another_runtime_error_is_not_hidden(tmp_path):
    def fail(temporary: Path) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write_atomically(tmp_path / "a.h5", fail)


def test_a_missing_folder_and_a_folder_in_the_way(tmp_path):
    with pytest.raises(InputError, match="does not exist: create it first"):
        write_atomically(tmp_path / "no" / "a.txt", lambda path: path.write_text("x") and None)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="there is a folder of that name"):
        write_atomically(tmp_path / "b", lambda path: path.write_text("x") and None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_a_file_that_is_not_there():
    message = describe_failure("cannot read a.h5", FileNotFoundError(errno.ENOENT, "no"))
    assert message == "cannot read a.h5: there is no such file or folder: correct the path"


def test_no_permission(tmp_path):
    def refuse(temporary: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(InputError, match="no permission"):
        write_atomically(tmp_path / "a", refuse)


def test_an_unknown_failure_is_described_in_the_system_s_words():
    error = OSError(errno.EIO, "x")
    assert describe_failure("cannot write a", error) == f"cannot write a: {os.strerror(errno.EIO)}"
    assert describe_failure("cannot read a", OSError("two\nlines")) == "cannot read a: two lines"


def test_sha256_of_nothing_and_of_three_letters(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"")
    assert file_sha256(path).startswith("e3b0c44298fc1c149afbf4c8996fb924")
    path.write_bytes(b"abc")
    assert file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_folder_is_locked_once_at_a_time(tmp_path):
    folder = tmp_path / "new" / "run"
    with (
        lock_folder(folder),
        pytest.raises(InputError, match=rf"in use .*process {os.getpid()}\)"),
        lock_folder(folder),
    ):
        pass
    with lock_folder(folder):  # free again
        pass


HOLD = """
import sys, time
from fcpts_ref.storage.files import lock_folder
with lock_folder(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_and_its_death_frees_the_folder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "locked\n"
            with (
                pytest.raises(InputError, match=f"another process .process {holder.pid}"),
                lock_folder(tmp_path),
            ):
                pass
        finally:
            holder.kill()
    with lock_folder(tmp_path):
        pass


def test_a_lock_where_a_file_is(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write to folder"), lock_folder(tmp_path / "file"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_leaves_the_other_file_alone(tmp_path, link):
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "run").mkdir()
    link(other, tmp_path / "run" / ".lock")
    with pytest.raises(InputError, match="a link stands where"), lock_folder(tmp_path / "run"):
        pass
    assert other.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes in the file system are POSIX")
def test_a_lock_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(InputError, match="cannot write to folder"), lock_folder(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_lock_that_cannot_be_written(tmp_path, monkeypatch, number):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(InputError, match="cannot lock folder"), lock_folder(tmp_path):
        pass


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").touch()
    check_regular_file(tmp_path / "file")
    for name, message in [
        (tmp_path, "it is a folder"),
        (tmp_path / "absent", "no such file"),
        (os.devnull, "a pipe or a device"),
        ("zero\0byte", "cannot read"),
    ]:
        with pytest.raises(InputError, match=message):
            check_regular_file(name)
