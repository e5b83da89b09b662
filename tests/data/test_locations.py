"""Where data and models are kept: the flag, then the variable, then the cache folder."""

import sys
from pathlib import Path

import pytest

from fcpts_ref.data.locations import HOME_VARIABLE, home_folder
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.networks import network_path
from fcpts_ref.storage.user_cache import user_cache


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in (HOME_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_flag_overrides_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "variable"))
    assert home_folder(tmp_path / "flag") == tmp_path / "flag"
    assert home_folder() == tmp_path / "variable"


def test_a_tilde_is_expanded(monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, "~/models")
    assert home_folder() == Path.home() / "models"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG is for other systems")
def test_the_cache_folder(monkeypatch, tmp_path):
    assert home_folder() == Path.home() / ".cache" / "fcpts-ref"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert home_folder() == tmp_path / "fcpts-ref"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG standard
    assert home_folder() == Path.home() / ".cache" / "fcpts-ref"
    monkeypatch.setenv(HOME_VARIABLE, "")  # empty counts as unset
    assert home_folder() == Path.home() / ".cache" / "fcpts-ref"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="homes are found otherwise there")
def test_a_user_without_a_home_directory(monkeypatch, tmp_path):
    """As in a container that runs under a user id of another system."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert user_cache() is None
    with pytest.raises(InputError, match=f"set {HOME_VARIABLE}"):
        home_folder()
    with pytest.raises(InputError, match="without ~"):
        home_folder("~/models")
    assert home_folder(tmp_path) == tmp_path
    assert network_path("resnet8-digits", None).is_file()  # the package's need no home
    with pytest.raises(InputError, match=f"set {HOME_VARIABLE}"):
        network_path("mine", None)


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        home_folder(tmp_path / "file")
