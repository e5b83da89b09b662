"""SGD, Adam and the schedule against torch.optim, float64, 1e-10 relative."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close

from fcpts_ref.spec.optim import adam_step, sgd_step, warmup_cosine

torch = pytest.importorskip("torch")
TOLERANCE = 1e-10
STEPS = 12


def problem():
    generator = np.random.default_rng(0)
    return generator.standard_normal((3, 4)), generator.standard_normal((STEPS, 3, 4))


def schedule(optimiser, warmup):
    """Linear warm-up, then cosine, made of PyTorch's own schedulers."""
    rise = torch.optim.lr_scheduler.LinearLR(
        optimiser, start_factor=1 / warmup, total_iters=warmup - 1
    )
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=STEPS - warmup)
    return torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, fall], milestones=[warmup])


def steps_of(optimiser, parameter, gradients, scheduler=None):
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimiser.step()
        if scheduler is not None:
            scheduler.step()
        yield parameter.detach().numpy()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd(momentum, weight_decay, nesterov):
    if nesterov and momentum == 0:
        nesterov = False  # PyTorch refuses it
    start, gradients = problem()
    settings = {"momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    theirs = torch.from_numpy(start.copy()).requires_grad_()
    optimiser = torch.optim.SGD([theirs], lr=0.1, **settings)
    p, v = start, np.zeros_like(start)
    for gradient, want in zip(gradients, steps_of(optimiser, theirs, gradients), strict=True):
        p, v = sgd_step(p, gradient, v, learning_rate=0.1, **settings)
        assert_close(p, want, TOLERANCE)
    if momentum:
        assert_close(v, optimiser.state[theirs]["momentum_buffer"].numpy(), TOLERANCE)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.8)])
def test_adam(weight_decay, betas):
    start, gradients = problem()
    theirs = torch.from_numpy(start.copy()).requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.1, betas=betas, weight_decay=weight_decay)
    p, first, second = start, np.zeros_like(start), np.zeros_like(start)
    for step, want in enumerate(steps_of(optimiser, theirs, gradients), start=1):
        p, first, second = adam_step(
            p, gradients[step - 1], first, second, step,
            learning_rate=0.1, betas=betas, weight_decay=weight_decay,
        )  # fmt: skip
        assert_close(p, want, TOLERANCE)
    assert_close(first, optimiser.state[theirs]["exp_avg"].numpy(), TOLERANCE)
    assert_close(second, optimiser.state[theirs]["exp_avg_sq"].numpy(), TOLERANCE)


def test_schedule():
    start, gradients = problem()
    theirs = torch.from_numpy(start.copy()).requires_grad_()
    optimiser = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    scheduler = schedule(optimiser, warmup=4)
    p, v = start, np.zeros_like(start)
    for step, want in enumerate(steps_of(optimiser, theirs, gradients, scheduler)):
        rate = 0.1 * warmup_cosine(step, STEPS, 4)
        p, v = sgd_step(p, gradients[step], v, learning_rate=rate, momentum=0.9)
        assert_close(p, want, TOLERANCE)
