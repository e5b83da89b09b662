"""Ten steps of the learned methods against PyTorch autograd, float64, 1e-10 relative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_images, make_network, small_resnet

from fcpts_ref.pruning.problem import make_problem
from fcpts_ref.pruning.registry import make_method
from fcpts_ref.spec.allocation import allocate
from fcpts_ref.spec.budget import exact_masks, threshold_of_count
from fcpts_ref.spec.optim import warmup_cosine
from fcpts_ref.spec.probabilistic_masks import (
    cubic_density,
    falling_temperature,
    project_scores,
)

torch = pytest.importorskip("torch")

from parity.torch_networks import ResNet, load  # noqa: E402

TOLERANCE = 1e-10
IMAGES, BATCH, EPOCHS, TARGET, SEED = 20, 4, 2, 0.7, 5
STEPS = EPOCHS * (IMAGES // BATCH)
LABELS = np.random.default_rng(3).integers(0, 5, IMAGES)
SETTINGS = {"epochs": EPOCHS, "batch_size": BATCH, "tune": 0.0, "choices": {"learning_rate": 0.2}}
METHODS = {
    "STR": ("str", {"start_logit": -2.0, "threshold_decay": 0.3}),
    "LTP": ("ltp", {"threshold_learning_rate": 0.5}),
    "LTP (exact)": ("ltp", {"threshold_learning_rate": 0.5, "exact": True}),
    "ProbMask": ("probmask", {"score_learning_rate": 0.2, "start_score": 0.9}),
    "ST-3": ("st3", {}),
    "ST-3 (sigma)": ("st3", {"scale": "fan"}),
    "RigL": ("rigl", {"every": 2}),
    "Spartan": ("spartan", {}),
    "Spartan (soft)": ("spartan", {"forward": "soft", "sharpness": 6.0}),
    "STR with labels": ("str", {"start_logit": -2.0, "objective": "labels"}),
    "ProbMask with labels": ("probmask", {"score_learning_rate": 0.2, "objective": "labels"}),
}


class STR:
    """s of every layer by SGD with weight decay."""

    def __init__(self, method, weights, total):
        self.s = torch.full((len(weights),), method.start_logit, requires_grad=True)
        rate = method.conventions.learning_rate
        self.optimiser = torch.optim.SGD(
            [self.s], rate, momentum=0.9, weight_decay=method.threshold_decay
        )

    def effective(self, weights, progress, generator):
        t = torch.sigmoid(self.s)
        soft = (w.sign() * torch.relu(w.abs() - t[i]) for i, w in enumerate(weights.values()))
        return dict(zip(weights, soft, strict=True)), 0.0

    def after(self, progress, parameters=None, optimiser=None):
        pass

    def learned(self):
        return {"logits": self.s}


class LTP:
    """Thresholds on squares by SGD in units of the layer's mean square."""

    def __init__(self, method, weights, total):
        self.method, self.total = method, total
        self.tau = torch.zeros(len(weights), requires_grad=True)
        self.squares = torch.tensor([float((w**2).mean()) for w in weights.values()])
        self.share = torch.tensor([total / w.numel() for w in weights.values()])
        self.optimiser = torch.optim.SGD([self.tau], method.threshold_learning_rate, momentum=0.9)
        self.tau.register_hook(lambda dtau: dtau * self.share * self.squares**2)

    def effective(self, weights, progress, generator):
        soft, penalty = {}, 0.0
        for i, (name, w) in enumerate(weights.items()):
            T = self.method.temperature * w.detach().abs().var(unbiased=False)
            inner = w if self.method.exact else w.detach()
            a = torch.sigmoid((inner**2 - self.tau[i]) / T)
            soft[name] = w * a
            penalty = penalty + self.method.penalty / self.total * a.sum()
        return soft, penalty

    def after(self, progress, parameters=None, optimiser=None):
        self.tau.data.clamp_(min=0)

    def learned(self):
        return {"thresholds": self.tau}


class Scores:
    """Probabilities by Adam, projected after every step."""

    def __init__(self, method, weights, total):
        self.total = total
        self.s = {n: torch.full_like(w, method.start_score) for n, w in weights.items()}
        for s in self.s.values():
            s.requires_grad_()
        self.optimiser = torch.optim.Adam(self.s.values(), method.score_learning_rate)

    def effective(self, weights, progress, generator):
        soft = {}
        for name, w in weights.items():
            noise = torch.logit(torch.from_numpy(generator.random(tuple(w.shape))))
            # A straight-through clamp: scores at an end have the gradient at the margin.
            s = self.s[name]
            s = s + (s.clamp(1e-6, 1 - 1e-6) - s).detach()
            hot = falling_temperature(progress)
            soft[name] = w * torch.sigmoid((torch.logit(s) + noise) / hot)
        return soft, 0.0

    def after(self, progress, parameters=None, optimiser=None):
        kept = cubic_density(progress, 1 - round(TARGET * self.total) / self.total)
        projected = project_scores([s.detach().numpy() for s in self.s.values()], kept * self.total)
        for s, p in zip(self.s.values(), projected, strict=True):
            s.data.copy_(torch.from_numpy(p))

    def learned(self):
        return self.s


class Plain:
    """No learned arrays: the weights alone decide."""

    def __init__(self, method, weights, total):
        self.method, self.total = method, total
        self.optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)

    def after(self, progress, parameters=None, optimiser=None):
        pass

    def learned(self):
        return {}

    def kept(self, scores, share):
        """The hard mask of the largest scores of all layers; share: of the target."""
        flat = torch.cat([s.detach().abs().ravel() for s in scores.values()])
        count = round(share * TARGET * self.total)
        mask = torch.ones_like(flat)
        mask[flat.argsort()[:count]] = 0
        between = flat[flat.argsort()[count - 1 : count + 1]].mean() if count else 0.0
        return mask, between


class ST3(Plain):
    """q = s sgn(w) (|w| - t)+ with the gradient of the identity."""

    def effective(self, weights, progress, generator):
        fan = self.method.scale == "fan"
        roots = {n: sum(w.shape) ** 0.5 if fan else 1.0 for n, w in weights.items()}
        x = min(max((progress - 0.03) / 0.47, 0.0), 1.0)
        _, t = self.kept({n: w * roots[n] for n, w in weights.items()}, 1 - (1 - x) ** 3)
        soft = {}
        for name, w in weights.items():
            v, own = w.detach(), t / roots[name]
            kept = (v.abs() * (v.abs() > own)).flatten(1).sum(1) / v.abs().flatten(1).sum(1)
            scale = (1.01 / (kept + 0.01)).reshape(-1, *[1] * (v.ndim - 1))
            q = scale * v.sign() * torch.relu(v.abs() - own)
            soft[name] = w + (q - v)
        return soft, 0.0


class Replaced(Plain):
    """Masks of fixed rates; every second step the smallest weights are replaced."""

    def __init__(self, method, weights, total):
        super().__init__(method, weights, total)
        arrays = {n: w.numpy().copy() for n, w in weights.items()}
        rates = allocate("erk", arrays, TARGET, keep_largest=True).rates
        thresholds = {n: threshold_of_count(w, round(rates[n] * w.size)) for n, w in arrays.items()}
        exact = exact_masks(arrays, thresholds, round(TARGET * total))
        self.masks = {n: torch.from_numpy(m) for n, m in exact.items()}
        self.sums = {n: torch.zeros_like(w) for n, w in weights.items()}
        self.steps = 0

    def effective(self, weights, progress, generator):
        self.weights, self.sparse = weights, {}
        for name, w in weights.items():
            self.sparse[name] = w * self.masks[name]
            self.sparse[name].retain_grad()
        return self.sparse, 0.0

    def after(self, progress, parameters=None, optimiser=None):
        self.steps += 1
        share = 0.15 * (1 + np.cos(np.pi * progress / 0.75)) if progress < 0.75 else 0.0
        for name, mask in self.masks.items():
            self.sums[name] += self.sparse[name].grad
            w, g = parameters[name].detach(), self.sums[name]
            if self.steps % 2 == 0 and share:
                count = min(int(share * mask.sum()), int((~mask).sum()))
                new = mask.clone()
                order = torch.where(mask, w.abs(), torch.inf).ravel().argsort()
                new.ravel()[order[:count]] = False
                order = torch.where(mask, -1.0, g.abs()).ravel().argsort(descending=True)
                new.ravel()[order[:count]] = True
                self.masks[name] = new
                self.sums[name] = torch.zeros_like(g)
            with torch.no_grad():
                parameters[name].mul_(self.masks[name])
                optimiser.state[parameters[name]]["momentum_buffer"].mul_(self.masks[name])

    def learned(self):
        sums = {f"gradient/{n}": g for n, g in self.sums.items()}
        return sums | {f"mask/{n}": m.double() for n, m in self.masks.items()}


class SoftTopK(Plain):
    """sigmoid(b v + mu): mu by bisection, its gradient by one differentiable Newton step."""

    def effective(self, weights, progress, generator):
        b = 1 + (self.method.sharpness - 1) * progress
        flat = torch.cat([w.abs().ravel() for w in weights.values()])
        z = b * flat / flat.detach().mean()
        share = min(progress / 0.2, 1.0)
        hard, _ = self.kept(weights, share)
        k = hard.sum()
        if k == len(flat):
            soft = torch.ones_like(z)
        else:
            low, high = -z.detach().max() - 50, -z.detach().min() + 50
            for _ in range(200):
                mu = (low + high) / 2
                low, high = (low, mu) if torch.sigmoid(z.detach() + mu).sum() > k else (mu, high)
            m = torch.sigmoid(z + mu)
            slope = (m * (1 - m)).sum().detach()
            soft = torch.sigmoid(z + mu - (m.sum() - k) / slope)
        used = soft if self.method.forward == "soft" else hard
        sparse, start = {}, 0
        for name, w in weights.items():
            part = slice(start, start + w.numel())
            start += w.numel()
            smooth = w * soft[part].reshape(w.shape)
            value = (w * used[part].reshape(w.shape)).detach()
            sparse[name] = smooth + (value - smooth).detach()
        return sparse, 0.0


THEIRS: dict[str, Any] = {
    "str": STR,
    "ltp": LTP,
    "probmask": Scores,
    "st3": ST3,
    "rigl": Replaced,
    "spartan": SoftTopK,
}


def run_theirs(kind, method, problem):
    """Return PyTorch's parameters and learned arrays after all steps."""
    student, teacher = (load(ResNet(1, 5, (3, 5, 6), 2, "A"), problem.network) for _ in range(2))
    teacher.eval()
    names = problem.prunable
    parameters = dict(student.named_parameters())
    total = sum(parameters[name].numel() for name in names)
    rule = THEIRS[kind](method, {n: parameters[n].detach() for n in names}, total)
    c = method.conventions
    optimiser = torch.optim.SGD(
        parameters.values(), c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay
    )
    usual = [(group, group["lr"]) for o in (optimiser, rule.optimiser) for group in o.param_groups]
    generator, step = np.random.default_rng(SEED), 0
    for _ in range(EPOCHS):
        order = generator.permutation(IMAGES)
        for first in range(0, IMAGES, BATCH):
            x = torch.from_numpy(problem.images[order[first : first + BATCH]])
            factor = warmup_cosine(step, STEPS, STEPS // EPOCHS) * BATCH / 64
            for group, rate in usual:
                group["lr"] = rate * factor
            weights = {n: parameters[n] for n in names}
            soft, penalty = rule.effective(weights, step / STEPS, generator)
            logits = torch.func.functional_call(student, {**parameters, **soft}, (x,))
            if method.objective == "labels":
                y = torch.from_numpy(problem.labels[order[first : first + BATCH]])
                loss = torch.nn.functional.cross_entropy(logits, y) + penalty
            else:
                p, q = (y.log_softmax(1) for y in (teacher(x).detach(), logits))
                loss = (p.exp() * (p - q)).sum(1).mean() + penalty
            for one in (optimiser, rule.optimiser):
                one.zero_grad()
            loss.backward()
            for one in (optimiser, rule.optimiser):
                one.step()
            step += 1
            rule.after(step / STEPS, parameters, optimiser)
    return parameters, rule.learned()


@pytest.mark.parametrize("name", METHODS)
def test_ten_steps(name):
    kind, settings = METHODS[name]
    method = make_method(kind, **SETTINGS, **settings)
    graph = small_resnet("A")
    problem = make_problem(
        make_network(graph), make_images(graph, IMAGES), TARGET, engine="numpy", labels=LABELS
    )
    with torch.enable_grad():
        torch.set_default_dtype(torch.float64)
        try:
            parameters, learned = run_theirs(kind, method, problem)
        finally:
            torch.set_default_dtype(torch.float32)
    state, generator = method.begin(problem), np.random.default_rng(SEED)
    for _ in range(EPOCHS):
        state = method.advance(problem, state, generator, lambda report: None)
    assert not any(key.startswith("kept/") for key in state.learned)
    for key, array in state.parameters.items():
        assert_close(array, parameters[key].detach().numpy(), TOLERANCE)
    for key, array in learned.items():
        assert_close(state.learned[key], array.detach().numpy(), TOLERANCE)
