"""The works that are compared: ours on the fast engine, and PyTorch's by memory layout."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.measure import alternate
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.make import make_engine
from fcpts_ref.engines.numba.pruning.optim import sgd_step
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.fcpts import method as fcpts
from fcpts_ref.pruning.fcpts import step as steps
from fcpts_ref.pruning.micro_batches import in_micro_batches
from fcpts_ref.pruning.problem import make_problem
from fcpts_ref.spec.conventions import Conventions, profile

Work = Callable[[], Any]
Pair = tuple[Work, Callable[[str], Work]]
LAYOUTS = ("contiguous", "channels_last")


class Setting:
    """A network, by default ResNet-32 for CIFAR, a batch of images, and how many threads."""

    def __init__(
        self, batch: int, threads: int, dtype: Any, seed: int, graph: Graph | None = None
    ) -> None:
        generator = np.random.default_rng(seed)
        self.threads, self.dtype, self.batch = threads, dtype, batch
        self.in_place = graph is not None  # PyTorch's ReLU, as in the networks for ImageNet
        graph = graph or resnet(32)
        network = initialise(graph, generator, dtype=dtype, mean=(0.5,) * 3, std=(0.25,) * 3)
        self.network: Network = network
        shape = graph.inputs[graph.input]
        self.images = generator.random((batch, *shape)).astype(dtype)
        self.inputs = {graph.input: self.images}
        self.doutputs = {
            name: generator.standard_normal((batch, *shape)).astype(dtype) / batch
            for name, shape in graph.output_shapes.items()
        }

    def pruned(self, rate: float) -> dict[str, Any]:
        """The parameters with a share of every prunable weight, its smallest, set to 0."""
        result = dict(self.network.parameters)
        for name in self.network.graph.prunable:
            magnitude = np.abs(result[name])
            result[name] = result[name] * (magnitude > np.quantile(magnitude, rate))
        return result

    def torch(self, layout: str, parameters: Any = None) -> tuple[Any, Any]:
        """The network and the images in PyTorch."""
        import torch

        from bench.torch_side import FORMATS, make_torch

        torch.set_num_threads(self.threads)
        kind = torch.float32 if self.dtype == np.float32 else torch.float64
        stored = self.network.parameters if parameters is None else parameters
        model = make_torch(
            self.network.graph, stored, self.network.buffers, layout, kind, self.in_place
        )
        images = torch.from_numpy(self.images).to(memory_format=FORMATS[layout])
        return model, images


# The works: each gives ours and, by layout, PyTorch's


def inference(setting: Setting, rate: float) -> Pair:
    """Logits in evaluation mode; rate 0 is the dense network."""
    parameters = setting.pruned(rate) if rate else dict(setting.network.parameters)
    engine = make_engine(setting.network.graph, "numba", threads=setting.threads)

    cache = WeightCache()

    def ours() -> Any:
        return engine.forward(
            parameters,
            setting.network.buffers,
            setting.inputs,
            training=False,
            keep=False,
            sparse=rate > 0,
            cache=cache,
        ).outputs

    def theirs(layout: str) -> Work:
        import torch

        model, images = setting.torch(layout, parameters)
        model.eval()

        def run() -> Any:
            with torch.inference_mode():
                return model(images)

        return run

    return ours, theirs


def training(setting: Setting) -> Pair:
    """Forward in training mode, backward, SGD with momentum and weight decay."""
    engine = make_engine(setting.network.graph, "numba", threads=setting.threads)
    state = {
        "parameters": dict(setting.network.parameters),
        "buffers": dict(setting.network.buffers),
        "velocities": {n: np.zeros_like(a) for n, a in setting.network.parameters.items()},
    }

    def ours() -> None:
        passed = engine.forward(
            state["parameters"], state["buffers"], setting.inputs, training=True, keep=True
        )
        gradients = engine.backward(passed, setting.doutputs)
        state["buffers"] = dict(passed.buffers)
        for name, a in state["parameters"].items():
            state["parameters"][name], state["velocities"][name] = sgd_step(
                a,
                gradients[name],
                state["velocities"][name],
                learning_rate=1e-3,
                momentum=0.9,
                weight_decay=3e-4,
            )

    def theirs(layout: str) -> Work:
        import torch

        model, images = setting.torch(layout)
        model.train()
        dlogits = torch.from_numpy(setting.doutputs[setting.network.graph.output])
        optimiser = torch.optim.SGD(model.parameters(), 1e-3, 0.9, weight_decay=3e-4)

        def run() -> None:
            optimiser.zero_grad(set_to_none=True)
            model(images).backward(dlogits)
            optimiser.step()

        return run

    return ours, theirs


def sparsify(
    setting: Setting, name: str, rate: float, *, teacher: bool = False, micro_batch: int = 0
) -> Pair:
    """One step of FCPTS from the ERK allocation, as a run without augmentation does it.

    micro_batch: images that ours runs at a time; 0 for all.

    A teacher whose batch norm evaluates gives the same logits for an image at every step: both
    sides then know them already, unless ``teacher`` asks for its forward pass in every step.  The
    outputs of detectors are too large for a run to hold, so their teacher always runs.
    """
    conventions = profile(name)
    problem = make_problem(setting.network, setting.images, rate, threads=setting.threads)
    method = fcpts.FCPTS(profile=name)
    state = [method.begin(problem)]
    generator = np.random.default_rng(0)
    sizes = [w.size for w in problem.weights.values()]
    teacher = teacher or setting.network.graph.is_detector
    known = conventions.teacher_batch_norm == "evaluation" and not teacher
    dense = problem.dense_outputs if known else None
    problem = in_micro_batches(problem, micro_batch or None, conventions)

    def ours() -> None:
        samples = steps.draw_samples(sizes, conventions, generator)
        state[0], _ = steps.step(
            problem,
            state[0],
            setting.images,
            samples,
            conventions,
            rate_factor=0.01,
            dense=dense,
        )

    def theirs(layout: str) -> Work:
        from bench.torch_side import TorchFCPTS

        (student, images), (dense, _) = setting.torch(layout), setting.torch(layout)
        start = method.begin(problem)
        t = steps.thresholds_of(start.threshold_parameters, conventions)
        slow = _slower(conventions, 0.01)
        work = TorchFCPTS(student, dense, t, rate, slow)
        outputs = work.dense_outputs(images) if known else None
        return lambda: work.step(images, outputs)

    return ours, theirs


def works(setting: Setting) -> dict[str, Callable[[], Pair]]:
    """All works of the table of targets, by name."""
    return {
        "dense forward (teacher)": lambda: inference(setting, 0.0),
        "dense training step": lambda: training(setting),
        "sparse inference 70 %": lambda: inference(setting, 0.7),
        "sparse inference 90 %": lambda: inference(setting, 0.9),
        "FCPTS paper 90 %": lambda: sparsify(setting, "paper", 0.9),
        "... with teacher each step": lambda: sparsify(setting, "paper", 0.9, teacher=True),
        "FCPTS released 90 %": lambda: sparsify(setting, "released", 0.9),
        "FCPTS paper 70 %": lambda: sparsify(setting, "paper", 0.7),
        "FCPTS paper 50 %": lambda: sparsify(setting, "paper", 0.5),
    }


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


def compare(pair: Pair, rounds: int, *, best: bool = False) -> dict[str, float]:
    """Milliseconds of ours and of PyTorch's layouts, taking turns; the ratio to the better one.

    Without PyTorch: ours alone.
    """
    ours, theirs = pair
    runs = {"ours": ours}
    if has_torch():
        runs |= {layout: theirs(layout) for layout in LAYOUTS}
    result = alternate(runs, rounds, best)
    if len(runs) > 1:
        result["ratio"] = result["ours"] / min(result[layout] for layout in LAYOUTS)
    return result


def show(title: str, rows: dict[str, dict[str, float]], targets: dict[str, float]) -> None:
    """A table of 80 columns: milliseconds, the ratio, and the ratio to reach."""
    heads = "".join(f"{h:>10}" for h in ("ours", "contig.", "ch. last", "ratio", "target"))
    print(f"\n{title}\n{'':28}{heads}")
    for name, row in rows.items():
        cells = "".join(f"{row[k]:10.1f}" if k in row else f"{'-':>10}" for k in ("ours", *LAYOUTS))
        ratio = f"{row['ratio']:10.2f}" if "ratio" in row else f"{'-':>10}"
        target = f"{targets[name]:10.2f}" if name in targets else ""
        print(f"{name:28}{cells}{ratio}{target}")


def _slower(conventions: Conventions, factor: float) -> Conventions:
    return conventions.with_choices(
        {
            "learning_rate": conventions.learning_rate * factor,
            "threshold_learning_rate": conventions.threshold_learning_rate * factor,
        }
    )
