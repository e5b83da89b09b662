"""Algorithm 1 in PyTorch: autograd computes every derivative except the declared surrogates.

Written from the paper and the behaviour of the released code.  The random draws, the initial
thresholds and the schedule come from our implementation; everything else is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fcpts_ref.spec.conventions import Conventions
from fcpts_ref.spec.optim import warmup_cosine

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Mask(torch.autograd.Function):
    """Equation 1 with the clipped straight-through estimator as its derivative."""

    @staticmethod
    def forward(ctx: Any, weight: Any, threshold: Any, half: bool, to_weight: bool) -> Any:
        u = weight.abs() - threshold
        ctx.save_for_backward(weight, u)
        ctx.to_weight = to_weight
        sign = torch.sign(u)
        if not half:
            sign = torch.where(u > 0, 1.0, -1.0).to(weight.dtype)
        return 0.5 * sign + 0.5

    @staticmethod
    def backward(ctx: Any, dmask: Any) -> Any:
        weight, u = ctx.saved_tensors
        du = 0.5 * dmask * ((u > -1) & (u < 1))
        return du * torch.sign(weight) if ctx.to_weight else None, -du.sum(), None, None


class Rate(torch.autograd.Function):
    """Equation 10, the exact share; its derivative is p(t) + p(-t) (Equation 11)."""

    @staticmethod
    def forward(ctx: Any, threshold: Any, weight: Any, strict: bool, density: Any) -> Any:
        ctx.slope = density(threshold.detach()) + density(-threshold.detach())
        magnitude = weight.abs()
        pruned = magnitude < threshold if strict else magnitude <= threshold
        return pruned.to(weight.dtype).mean()

    @staticmethod
    def backward(ctx: Any, drate: Any) -> Any:
        return drate * ctx.slope, None, None, None


def kernel_density(weight: Any, sample: Any, conventions: Conventions) -> Any:
    """Equation 12."""
    w = weight.flatten()
    h = conventions.bandwidth_factor
    if conventions.bandwidth == "relative":
        h = h * w.std(unbiased=True)
    drawn = w[torch.from_numpy(sample)]
    normal = torch.distributions.Normal(drawn, h)
    return lambda x: normal.log_prob(x).exp().mean()


def histogram_density(weight: Any, bins: int) -> Any:
    """Estimate as the released code: counts by histc, looked up between equidistant edges."""
    w = weight.flatten()
    low, high = w.min(), w.max()
    edges = torch.linspace(low.item(), high.item(), bins + 1, dtype=w.dtype)
    heights = torch.histc(w, bins, low.item(), high.item()) / (w.numel() * (high - low) / bins)

    def density(x: Any) -> Any:
        k = torch.searchsorted(edges, x, right=True) - 1
        return heights[k] if 0 <= k < bins else torch.zeros((), dtype=w.dtype)

    return density


@dataclass
class Run:
    """The state of a run: student, teacher, thresholds (or logits of them), one optimiser."""

    student: Any
    teacher: Any
    names: tuple[str, ...]
    learned: Any  # (L,): t, or s with t = sigmoid(s)
    target: float
    control: str
    conventions: Conventions
    steps: int
    warmup: int
    learn_rates: bool = True
    rates: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        c = self.conventions
        self.learned.requires_grad_()
        settings = {"momentum": c.momentum, "nesterov": c.nesterov}
        self.weights = dict(self.student.named_parameters())
        self.optimiser = torch.optim.SGD(
            [
                {"params": list(self.weights.values()), "weight_decay": c.weight_decay},
                {"params": [self.learned], "weight_decay": 0.0},
            ],
            lr=1.0,
            **settings,
        )
        self.student.train(c.student_batch_norm == "training")
        self.teacher.train(c.teacher_batch_norm == "training")

    @property
    def thresholds(self) -> Any:
        sigmoid = self.conventions.threshold_parameter == "sigmoid"
        return torch.sigmoid(self.learned) if sigmoid else self.learned

    def step(self, images: Any, samples: list[Any]) -> None:
        c = self.conventions
        t, x = self.thresholds, torch.from_numpy(images)
        with torch.no_grad():
            dense = self.teacher(x)
        sparse, rates, masks = {}, [], {}
        for i, name in enumerate(self.names):
            w = self.weights[name]
            ti = t[i] if c.reconstruction_moves_thresholds and self.learn_rates else t[i].detach()
            mask = Mask.apply(w, ti, c.tie == "half", c.mask_gradient_reaches_weights)
            sparse[name] = w * mask
            masks[name] = mask.detach()
            if c.pruned_weight_gradient == "dense":  # as if the mask were constant 1
                sparse[name] = sparse[name] + (1 - mask).detach() * (w - w.detach())
            rates.append(Rate.apply(t[i], w.detach(), c.strict_rate, self.density(i, samples)))
        logits = torch.func.functional_call(self.student, sparse, (x,))
        T = c.temperature
        reconstruction = T**2 * F.kl_div(
            F.log_softmax(logits / T, dim=1),
            F.log_softmax(dense / T, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        sizes = torch.tensor([self.weights[n].numel() for n in self.names], dtype=torch.float64)
        r = torch.stack(rates)
        excess = (r * sizes).sum() / sizes.sum() - self.target
        control = torch.where(excess > 0, excess, -excess)
        if c.at_target == "zero":
            control = excess.abs()
        steered = self.control == "loss" and self.learn_rates
        loss = reconstruction + (c.control_weight * control if steered else 0.0)
        pulls = (((1 - M) * self.weights[n] ** 2).sum() for n, M in masks.items())
        loss = loss + c.pruned_weight_pull / 2 * sum(pulls)
        self.history.append(
            {
                "reconstruction_loss": reconstruction.item(),
                "control_loss": control.item(),
                "rates": r.detach().numpy().copy(),
                "thresholds": t.detach().numpy().copy(),
            }
        )
        self.descend(loss, len(images))

    def density(self, i: int, samples: list[Any]) -> Any:
        c, w = self.conventions, self.weights[self.names[i]].detach()
        if c.density == "histogram":
            return histogram_density(w, c.histogram_bins)
        return kernel_density(w, samples[i], c)

    def descend(self, loss: Any, batch: int) -> None:
        c = self.conventions
        step = len(self.history) - 1
        factor = warmup_cosine(step, self.steps, self.warmup, c.cosine, c.rate_update) * batch / 64
        for group, rate in zip(
            self.optimiser.param_groups, (c.learning_rate, c.threshold_learning_rate), strict=True
        ):
            group["lr"] = rate * factor
        self.optimiser.zero_grad(set_to_none=False)
        if self.learned.grad is None:
            self.learned.grad = torch.zeros_like(self.learned)
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            if c.threshold_parameter == "threshold":
                self.learned.clamp_(min=0)
            if not self.learn_rates:
                self.set_thresholds(self.at_rates())
            elif self.control == "projection":
                self.set_thresholds(self.thresholds * self.projection())

    def set_thresholds(self, t: Any) -> None:
        sigmoid = self.conventions.threshold_parameter == "sigmoid"
        self.learned.copy_(torch.logit(t).clamp(min=-30) if sigmoid else t)

    def at_rates(self) -> Any:
        """Return the threshold of every layer at its own rate (convention 8)."""
        result = []
        for name in self.names:
            magnitude = self.weights[name].abs().flatten().sort().values
            exact = self.rates[name] * magnitude.numel()
            down = self.conventions.initial_threshold == "rounded down"
            count = max(int(exact), 1) if down else round(exact)
            result.append(magnitude[count - 1] if count else torch.zeros((), dtype=torch.float64))
        return torch.stack(result)

    def projection(self) -> Any:
        """Return the midpoint of the count-th smallest |w| / t and the next."""
        pairs = zip(self.names, self.thresholds, strict=True)
        ratios = torch.cat([(self.weights[n].abs() / t).flatten() for n, t in pairs]).sort().values
        count = round(self.target * ratios.numel())
        return (ratios[count - 1] + ratios[count]) / 2

    def velocities(self) -> dict[str, Any]:
        state = self.optimiser.state
        return {n: state[w]["momentum_buffer"].numpy() for n, w in self.weights.items()}

    def threshold_velocities(self) -> Any:
        return self.optimiser.state[self.learned]["momentum_buffer"].numpy()


def as_tensor(array: Any) -> Any:
    return torch.from_numpy(np.array(array, dtype=np.float64))
