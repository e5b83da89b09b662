"""Ten steps of DSA's search against PyTorch autograd, float64, 1e-10 relative.

Masks multiply the values after batch norm, by hooks; the gradient of a keep ratio comes from a
threshold that a differentiable Newton step of the constraint follows; the draw is passed straight
through.  Batches, projections onto the budget and the rule of the first layer are the package's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_images, make_network, small_resnet

from fcpts_ref.pruning.channels.ratios import followed_ratios, lowest_ratios, on_budget
from fcpts_ref.pruning.channels.space import following_norm, space_of
from fcpts_ref.pruning.problem import make_problem
from fcpts_ref.pruning.registry import make_method
from fcpts_ref.spec.optim import warmup_cosine

torch = pytest.importorskip("torch")

from parity.torch_networks import ResNet, load, statistics  # noqa: E402

TOLERANCE = 1e-10
IMAGES, BATCH, EPOCHS, TARGET, SEED = 24, 4, 2, 0.4, 7
SETTINGS = {
    "search": EPOCHS, "batch_size": BATCH, "validation": 1 / 6, "learning_rate": 0.1,
    "steepness": 2.0, "last_steepness": 6.0, "ratio_rate": 0.05,
}  # fmt: skip
STEPS = EPOCHS * ((IMAGES - BATCH) // BATCH)
FLOOR, MOST, OFFSET = 0.01, 0.999, 1e-8
METHODS = {
    "signed": {},
    "magnitude": {"gradient": "magnitude"},
    "without labels": {"objective": "outputs"},
    "every step": {"interval": 1, "ramp": 0.0},
}


class Search:
    """PyTorch's side: the network, the ratios of its groups, and the masks of its channels."""

    def __init__(self, method: Any, problem: Any) -> None:
        self.method, self.problem = method, problem
        self.space = space_of(problem, "DSA")
        self.student, self.teacher = (
            load(ResNet(1, 5, (3, 5, 6), 2, "B"), problem.network) for _ in range(2)
        )
        self.teacher.eval()
        self.groups = self.space.groups.groups
        self.ratios = np.ones(len(self.groups))
        self.copy, self.dual = self.ratios, np.zeros(len(self.groups))
        self.mean = np.zeros(len(self.groups))
        self.masks: list[Any] = []
        self.modules = dict(self.student.named_modules())
        for place, group in enumerate(self.groups):
            for layer in group.layers:
                norm = self.modules[following_norm(self.space.graph, layer).name]
                norm.register_forward_hook(self._masked(place, group.slots[layer]))
        decayed = [p for n, p in self.student.named_parameters() if n in problem.prunable]
        others = [p for n, p in self.student.named_parameters() if n not in problem.prunable]
        self.optimiser = torch.optim.SGD(
            [{"params": decayed, "weight_decay": method.weight_decay}, {"params": others}],
            method.learning_rate, momentum=0.9, nesterov=True,
        )  # fmt: skip

    def _masked(self, place: int, slots: Any) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> Any:
            wide = torch.ones(output.shape[1])
            rows = torch.from_numpy(np.asarray(slots))
            return output * wide.index_put((rows,), self.masks[place][:, None]).reshape(-1, 1, 1)

        return hook

    def draw(self, progress: float, generator: np.random.Generator) -> list[tuple[Any, Any]]:
        """Draw masks; return each group's ratio and probabilities, which depend on it."""
        steepness = (
            self.method.steepness * (self.method.last_steepness / self.method.steepness) ** progress
        )
        found, self.masks = [], []
        for group, ratio in zip(self.groups, self.ratios, strict=True):
            norm = self.modules[following_norm(self.space.graph, group.layers[0]).name]
            rows = np.asarray(group.slots[group.layers[0]])
            b = norm.weight.detach().abs()[rows].mean(1)
            logs = (b + OFFSET).log()
            alpha = torch.tensor(min(float(ratio), MOST), requires_grad=True)

            def p(at: Any, logs: Any = logs) -> Any:
                return FLOOR + (1 - FLOOR) * torch.sigmoid(steepness * (logs - at))

            low, high = torch.tensor(-500.0), torch.tensor(500.0)
            for _ in range(200):
                middle = (low + high) / 2
                low, high = (middle, high) if p(middle).mean() > alpha else (low, middle)
            at = middle.clone().requires_grad_()
            (slope,) = torch.autograd.grad(p(at).mean(), at)
            kept = p(middle - (p(middle).mean().detach() - alpha) / slope)
            mask = torch.from_numpy(generator.random(group.units)) < kept.detach()
            mask[kept.argmax()] |= not mask.any()
            self.masks.append(mask.double().requires_grad_())
            found.append((alpha, kept))
        return found

    def loss(self, batch: Any) -> Any:
        images = torch.from_numpy(batch.images)
        logits = self.student(images)
        if batch.labels is not None:
            return torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels))
        p, q = (y.log_softmax(1) for y in (self.teacher(images).detach(), logits))
        return (p.exp() * (p - q)).sum(1).mean()

    def ratio_step(self, batch: Any, progress: float, generator: np.random.Generator) -> None:
        """A step of the ratios; running statistics and weights stay as they are."""
        before = {n: b.clone() for n, b in self.student.named_buffers()}
        drawn = self.draw(progress, generator)
        dmasks = torch.autograd.grad(self.loss(batch), self.masks)
        for name, buffer in self.student.named_buffers():
            buffer.copy_(before[name])
        dratios = []
        for (alpha, kept), dmask in zip(drawn, dmasks, strict=True):
            straight = -dmask.abs() if self.method.gradient == "magnitude" else dmask
            dratios.append(float(torch.autograd.grad(kept, alpha, straight)[0]))
        self.mean = 0.9 * self.mean + 0.1 * np.array(dratios)
        direction = self.mean / np.sqrt(np.mean(self.mean**2))
        whole, final = self.space.costs.whole, self.space.budget
        done = min(progress / self.method.ramp, 1.0) if self.method.ramp else 1.0
        budget = whole + done * (final - whole)
        ratios = followed_ratios(self.ratios, self.space, budget)
        copy = followed_ratios(self.copy, self.space, budget)
        rho = self.method.penalty
        # The minimum of <g, a> + |a - ratios|^2 / (2 eta) + rho / (2 eta) |a - copy + dual|^2
        wanted = ratios - self.method.ratio_rate * direction + rho * (copy - self.dual)
        self.ratios = np.clip(wanted / (1 + rho), lowest_ratios(self.space), 1.0)
        self.copy = on_budget(self.ratios + self.dual, self.space, budget)
        self.dual = self.dual + self.ratios - self.copy

    def run(self, generator: np.random.Generator) -> None:
        method, problem, step = self.method, self.problem, 0
        for _ in range(EPOCHS):
            rows, last = np.arange(IMAGES - BATCH), np.arange(IMAGES - BATCH, IMAGES)
            held_out = self._forever(last, generator)
            for number, batch in enumerate(method.batches(problem, rows, generator)):
                progress = step / STEPS
                if number % method.interval == 0:
                    self.ratio_step(next(held_out), progress, generator)
                self.draw(progress, generator)
                for group in self.optimiser.param_groups:
                    group["lr"] = method.learning_rate * warmup_cosine(step, STEPS, 0)
                self.optimiser.zero_grad()
                self.loss(batch).backward()
                self.optimiser.step()
                step += 1

    def _forever(self, rows: Any, generator: np.random.Generator) -> Any:
        while True:
            yield from self.method.batches(self.problem, rows, generator)


@pytest.mark.parametrize("name", METHODS)
def test_ten_steps(name: str) -> None:
    method = make_method("dsa", **SETTINGS, **METHODS[name])
    graph = small_resnet("B")
    labels = np.random.default_rng(2).integers(0, 5, IMAGES)
    problem = make_problem(
        make_network(graph), make_images(graph, IMAGES), TARGET, engine="numpy", cost="macs",
        labels=labels,
    )  # fmt: skip
    with torch.enable_grad():
        torch.set_default_dtype(torch.float64)
        try:
            theirs = Search(method, problem)
            theirs.run(np.random.default_rng(SEED))
        finally:
            torch.set_default_dtype(torch.float32)
    assert STEPS == 10
    assert any((mask == 0).any() for mask in theirs.masks)
    state, generator = method.begin(problem), np.random.default_rng(SEED)
    for _ in range(EPOCHS):
        state = method.advance(problem, state, generator, lambda report: None)
    parameters = dict(theirs.student.named_parameters())
    for key, array in state.parameters.items():
        assert_close(array, parameters[key].detach().numpy(), TOLERANCE, key)
    for key, array in statistics(theirs.student).items():
        assert_close(state.buffers[key], array, TOLERANCE, key)
    learned = {
        "ratios": theirs.ratios, "copy": theirs.copy, "dual": theirs.dual,
        "mean_gradient": theirs.mean,
    }  # fmt: skip
    assert not np.allclose(theirs.ratios, theirs.ratios[0])
    for key, found in learned.items():
        assert_close(state.learned[key], found, TOLERANCE, key)
