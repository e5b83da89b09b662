"""Threads of BLAS: limited in an engine's passes, and in a whole process."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from small_networks import make_images, make_network, small_resnet
from threadpoolctl import threadpool_info, threadpool_limits

from fcpts_ref.engines.blas_threads import VARIABLES, blas_limit, limit_process
from fcpts_ref.engines.make import make_engine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs import execution

GRAPH = small_resnet()
NETWORK = make_network(GRAPH)
IMAGES = make_images(GRAPH, 2)


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [1, 2, None])
def test_the_numpy_engine_limits_blas_during_its_passes(threads, monkeypatch):
    seen = []
    for name in ("forward", "backward"):
        original = getattr(execution, name)

        def watched(*arguments, _original=original, **settings):
            seen.append(blas_threads())
            return _original(*arguments, **settings)

        monkeypatch.setattr(execution, name, watched)
    with threadpool_limits(3, user_api="blas"):
        engine = make_engine(GRAPH, "numpy", threads=threads)
        inputs = {"images": IMAGES}
        passed = engine.forward(NETWORK.parameters, NETWORK.buffers, inputs, training=True)
        engine.backward(passed, {"logits": np.ones_like(passed.outputs["logits"])})
        assert blas_threads() == {3}
    assert seen == [{threads or 3}] * 2


@pytest.mark.parametrize("threads", [0, -1, 1.0, "2", True])
def test_threads_that_cannot_be(threads):
    for call in (lambda t: make_engine(GRAPH, "numpy", threads=t), limit_process):
        with pytest.raises(InputError, match="threads is"):
            call(threads)


def test_the_limit_ends_where_a_pass_fails():
    before = blas_threads()
    with pytest.raises(KeyError), blas_limit(1)():
        raise KeyError
    assert blas_threads() == before


LIMITED = """
import os, subprocess, sys
from fcpts_ref.engines.blas_threads import VARIABLES, limit_process
limit_process(1)
import numba, numpy, scipy.linalg
from threadpoolctl import threadpool_info
print(numba.config.NUMBA_NUM_THREADS, *(pool["num_threads"] for pool in threadpool_info()))
child = "import os; print(*(os.environ[name] for name in os.environ if name in %r))" % (VARIABLES,)
print(subprocess.check_output([sys.executable, "-c", child], text=True))
"""


def test_a_process_is_limited_with_all_that_it_loads_and_starts():
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    run = subprocess.run(
        [sys.executable, "-c", LIMITED], env=environment, capture_output=True, text=True, check=True
    )
    numbers = run.stdout.split()
    assert len(numbers) >= 2 + len(VARIABLES)
    assert set(numbers) == {"1"}


def test_a_limit_that_comes_too_late_is_told():
    source = (
        "import numba\nfrom fcpts_ref.engines.blas_threads import limit_process\n"
        "try: limit_process(1)\nexcept RuntimeError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "imported with 2 threads" in run.stdout
