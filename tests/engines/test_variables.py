"""Environment variables with which Numba does not start are refused in one line."""

from __future__ import annotations

import pytest

from fcpts_ref.engines.blas_threads import check_numba_variables
from fcpts_ref.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NUMBA_NUM_THREADS", "0"),
        ("NUMBA_NUM_THREADS", "-1"),
        ("NUMBA_NUM_THREADS", ""),
        ("NUMBA_NUM_THREADS", "many"),
        ("NUMBA_THREADING_LAYER", "nonsense"),
        ("NUMBA_THREADING_LAYER", "x" * 1000),
    ],
)
def test_bad_variables(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=name) as caught:
        check_numba_variables()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_NUM_THREADS", "2"), ("NUMBA_THREADING_LAYER", "workqueue")]
)
def test_good_variables(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    check_numba_variables()
