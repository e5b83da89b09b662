"""PyTorch doing the same work: the graph as modules, FCPTS with its masks as multiplications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fcpts_ref.graphs.graph import BOXES, SCORES, Graph
from fcpts_ref.spec.conventions import Conventions

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class TorchNetwork(nn.Module):
    """A graph; ``masked`` weights may be given to forward in the place of a layer's own.

    Forward returns the only output, or all in a dictionary.

    in_place: ReLU and ReLU6 overwrite their inputs, as in torchvision's networks.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Any],
        buffers: Mapping[str, Any],
        in_place: bool = False,
    ):
        super().__init__()
        self.graph, self.in_place = graph, in_place
        self.layers = nn.ModuleDict()
        for node in graph.nodes:
            layer = _layer(node.operation, node.attributes)
            if layer is not None:
                self.layers[_key(node.name)] = layer
                for short, value in layer.state_dict(keep_vars=True).items():
                    stored = parameters if f"{node.name}.{short}" in parameters else buffers
                    if f"{node.name}.{short}" in stored:
                        value.data.copy_(torch.from_numpy(stored[f"{node.name}.{short}"]))
        self.mean, self.std = (
            torch.from_numpy(buffers[f"normalise.{s}"]).reshape(-1, 1, 1) for s in ("mean", "std")
        )

    def forward(self, images: torch.Tensor, masked: Mapping[str, Any] | None = None) -> Any:
        masked = masked or {}
        values = {"images": images}
        for node in self.graph.nodes:
            key, inputs = _key(node.name), [values[name] for name in node.inputs]
            weight = masked.get(f"{node.name}.weight")
            if weight is not None and node.operation == "convolution":
                layer = self.layers[key]
                value = F.conv2d(
                    inputs[0], weight, layer.bias, layer.stride, layer.padding, groups=layer.groups
                )
            elif weight is not None:
                value = F.linear(inputs[0], weight, self.layers[key].bias)
            elif key in self.layers:
                value = self.layers[key](*inputs)
            else:
                value = self._plain(node.operation, inputs, node.attributes)
            values[node.name] = value
        outputs = self.graph.outputs
        return value if len(outputs) == 1 else {name: values[n] for name, n in outputs.items()}

    def _plain(self, operation: str, inputs: list[Any], attributes: Mapping[str, Any]) -> Any:
        x = inputs[0]
        if operation == "normalise":
            return (x - self.mean) / self.std
        if operation == "relu":
            return F.relu(x, inplace=self.in_place)
        if operation == "relu6":
            return F.relu6(x, inplace=self.in_place)
        if operation == "max_pool":
            kernel, stride = attributes["kernel"], attributes["stride"]
            return F.max_pool2d(x, kernel, stride, attributes["padding"][:2])
        if operation == "add":
            return x + inputs[1]
        if operation == "subsample":
            return x[:, :, :: attributes["stride"], :: attributes["stride"]]
        if operation == "zero_pad":
            return F.pad(x, (0, 0, 0, 0, attributes["before"], attributes["after"]))
        if operation == "global_average_pool":
            return x.mean((2, 3))
        if operation == "flatten":
            return x.flatten(attributes["axis"] + 1)
        if operation == "reshape":
            return x.reshape(len(x), *attributes["shape"])
        if operation == "concat":
            return torch.cat(inputs, dim=attributes["axis"] + 1)
        if operation == "transpose":
            return x.permute(0, *(axis + 1 for axis in attributes["permutation"]))
        if operation == "slice":
            axis = attributes["axis"] + (attributes["axis"] >= 0)
            return x.narrow(axis, attributes["start"], attributes["stop"] - attributes["start"])
        if operation == "gelu":
            return F.gelu(x, approximate=attributes["approximate"])
        if operation == "attention":
            heads = [
                value.unflatten(2, (attributes["heads"], -1)).transpose(1, 2) for value in inputs
            ]
            return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        raise ValueError(f"no PyTorch twin of {operation!r} here")


class Mask(torch.autograd.Function):
    """Equation 1 with the surrogate derivative of convention 2, by the threshold alone."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        u = weight.abs() - t
        ctx.save_for_backward(u)
        return (u > 0).to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, dmask: torch.Tensor) -> tuple[None, torch.Tensor]:
        (u,) = ctx.saved_tensors
        return None, -0.5 * (dmask * (u.abs() < 1)).sum()


class TorchFCPTS:
    """One step of FCPTS by autograd, in the conventions given; SGD by torch.optim."""

    def __init__(
        self,
        student: TorchNetwork,
        teacher: TorchNetwork,
        thresholds: Any,
        target: float,
        conventions: Conventions,
    ) -> None:
        self.student, self.teacher = student, teacher
        self.target, self.conventions = target, conventions
        self.names = student.graph.prunable
        self.weights = [student.layers[_key(n.removesuffix(".weight"))].weight for n in self.names]
        self.sizes = torch.tensor([float(w.numel()) for w in self.weights])
        t = torch.tensor(np.asarray(thresholds), dtype=torch.float32)
        self.sigmoid = conventions.threshold_parameter == "sigmoid"
        self.raw = nn.Parameter(torch.logit(t) if self.sigmoid else t)
        rest = list(student.parameters())
        settings = {"lr": conventions.learning_rate, "momentum": conventions.momentum}
        self.optimiser = torch.optim.SGD(
            [
                {"params": rest, "weight_decay": conventions.weight_decay},
                {"params": [self.raw], "lr": conventions.threshold_learning_rate},
            ],
            **settings,
        )

    def dense_outputs(self, images: torch.Tensor) -> Any:
        self.teacher.train(self.conventions.teacher_batch_norm == "training")
        with torch.no_grad():
            return self.teacher(images)

    def step(self, images: torch.Tensor, outputs: Any = None) -> None:
        """outputs: the teacher's, if they are known already."""
        conventions = self.conventions
        self.student.train(conventions.student_batch_norm == "training")
        dense = self.dense_outputs(images) if outputs is None else outputs
        t = torch.sigmoid(self.raw) if self.sigmoid else self.raw
        thresholds = t if conventions.reconstruction_moves_thresholds else t.detach()
        masked = {
            name: w * Mask.apply(w.detach(), thresholds[i])
            for i, (name, w) in enumerate(zip(self.names, self.weights, strict=True))
        }
        loss = self._reconstruction(dense, self.student(images, masked))
        self.optimiser.zero_grad(set_to_none=True)
        (loss + self._control(t)).backward()
        self.optimiser.step()
        if not self.sigmoid:
            self.raw.data.clamp_(min=0)

    def _reconstruction(self, dense: Any, sparse: Any) -> torch.Tensor:
        """Equation 4; of a detector by convention 6."""
        conventions, T = self.conventions, self.conventions.temperature
        if not self.student.graph.is_detector:
            p, log_q = F.softmax(dense / T, dim=1), F.log_softmax(sparse / T, dim=1)
            return F.kl_div(log_q, p, reduction="batchmean") * T * T
        p = F.softmax(dense[SCORES] / T, dim=2)
        log_q = F.log_softmax(sparse[SCORES] / T, dim=2)
        weight = 1 - F.softmax(dense[SCORES], dim=2)[..., 0] + conventions.background_weight
        weight = weight / weight.sum(dim=1, keepdim=True)
        error = F.smooth_l1_loss(sparse[BOXES], dense[BOXES], reduction="none").mean(dim=2)
        kl = F.kl_div(log_q, p, reduction="none").sum(dim=2)
        each = T * T * kl + conventions.box_weight * error
        return (weight * each).sum() / len(weight)

    def _control(self, t: torch.Tensor) -> torch.Tensor:
        """A term whose derivative by t is that of Equation 13."""
        with torch.no_grad():
            rates, densities = [], []
            for i, w in enumerate(self.weights):
                flat, ti = w.detach().reshape(-1), float(t[i])
                rates.append((flat.abs() <= ti).float().mean())
                densities.append(self._density(flat, ti))
            excess = (torch.stack(rates) * self.sizes).sum() / self.sizes.sum() - self.target
            slope = torch.sign(excess) * self.sizes / self.sizes.sum() * torch.stack(densities)
        return (slope * t).sum()

    def _density(self, flat: torch.Tensor, t: float) -> torch.Tensor:
        """p(t) + p(-t)"""
        points = torch.tensor([t, -t])
        if self.conventions.density == "histogram":
            bins, low, high = self.conventions.histogram_bins, flat.min(), flat.max()
            counts = torch.histc(flat, bins, low.item(), high.item())
            k = torch.floor((points - low) / (high - low) * bins).long()
            inside = (k >= 0) & (k < bins)
            return (counts[k.clamp(0, bins - 1)] * inside).sum() / (
                flat.numel() * (high - low) / bins
            )
        sample = flat[torch.randint(flat.numel(), (self.conventions.density_samples,))]
        h = self.conventions.bandwidth_factor * flat.std()
        z = (points[:, None] - sample) / h
        return torch.exp(-0.5 * z * z).mean(1).sum() / (h * (2 * torch.pi) ** 0.5)


def make_torch(
    graph: Graph,
    parameters: Mapping[str, Any],
    buffers: Mapping[str, Any],
    layout: str,
    dtype: Any,
    in_place: bool = False,
) -> TorchNetwork:
    """The network in one of the ``FORMATS``."""
    network = TorchNetwork(graph, parameters, buffers, in_place).to(dtype)
    return network.to(memory_format=FORMATS[layout])


def _layer(operation: str, attributes: Mapping[str, Any]) -> nn.Module | None:
    if operation == "convolution":
        sizes = (attributes[n] for n in ("in_channels", "out_channels", "kernel"))
        settings = {name: attributes[name] for name in ("stride", "groups")}
        padding = attributes["padding"][:2]  # (top, left): these networks pad evenly
        return nn.Conv2d(*sizes, padding=padding, **settings, bias=attributes["bias"])
    if operation == "batch_norm":
        return nn.BatchNorm2d(attributes["channels"])
    if operation == "linear":
        return nn.Linear(attributes["in_features"], attributes["out_features"])
    if operation == "layer_norm":
        return nn.LayerNorm(attributes["shape"], eps=attributes["epsilon"])
    if operation == "class_token":
        return _ClassToken(attributes["features"])
    if operation == "add_parameter":
        return _Position(attributes["shape"])
    return None


class _ClassToken(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.token.expand(len(x), 1, -1), x], dim=1)


class _Position(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.parameter


def _key(name: str) -> str:
    return name.replace(".", "_")
