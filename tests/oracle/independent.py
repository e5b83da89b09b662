"""A second implementation of FCPTS in NumPy or PyTorch, in forms of its own, that keeps its state.

``Forms`` says how each part is computed; every choice is faithful.  It shares no code with the
package, takes its own steps from the dense network on, and records what a program would record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.oracle.trace_file import Setting, StepTrace, Trace


@dataclass(frozen=True)
class Forms:
    """dtype: of everything.  sums: "pairwise", "reversed" or "one by one".

    sigmoid: "exp", "tanh" or "ratio".  softmax: "shifted", "plain" or "logs".
    kl: "logs", "ratio" or "entropies".  norm: "centred" or "moments".  convolution: "taps" or
    "columns".  sgd: "velocity", "difference" or "torch" (its optimiser).  record: "all" quantities
    or "few".
    """

    dtype: Any = np.float64
    sums: str = "pairwise"
    sigmoid: str = "exp"
    softmax: str = "shifted"
    kl: str = "logs"
    norm: str = "centred"
    convolution: str = "taps"
    sgd: str = "velocity"
    record: str = "all"


class Independent:
    """The implementation, for graphs of convolutions, batch norm, ReLU, pools and linear layers."""

    def __init__(self, setting: Setting, forms: Forms):
        self.setting, self.forms, self.c = setting, forms, setting.conventions
        net = setting.network
        self.dense = {n: a.astype(forms.dtype) for n, a in net.parameters.items()}
        self.dense_buffers = {n: a.astype(forms.dtype) for n, a in net.buffers.items()}
        self.p, self.buffers = dict(self.dense), dict(self.dense_buffers)
        self.velocities = {n: np.zeros_like(a) for n, a in self.p.items()}
        self.layers = setting.network.graph.prunable
        self.sv = np.zeros(len(self.layers), forms.dtype)

    # arithmetic in other forms

    def total(self, x, axes=None):
        axes = tuple(range(x.ndim)) if axes is None else axes
        if self.forms.sums == "pairwise":
            return x.sum(axis=axes)
        if self.forms.sums == "reversed":
            return np.flip(x, axes).sum(axis=axes)
        moved = np.moveaxis(x, axes, range(len(axes)))
        flat = moved.reshape(-1, *moved.shape[len(axes) :])
        return np.add.accumulate(flat, axis=0)[-1] if len(flat) else flat.sum(axis=0)

    def sigmoid(self, s):
        if self.forms.sigmoid == "tanh":
            return (1 + np.tanh(s / 2)) / 2
        if self.forms.sigmoid == "ratio":
            return np.exp(s) / (1 + np.exp(s))
        return 1 / (1 + np.exp(-s))

    def log_softmax(self, y):
        if self.forms.softmax == "logs":
            return y - np.logaddexp.reduce(y, axis=1, keepdims=True)
        if self.forms.softmax == "plain":
            return np.log(np.exp(y) / np.exp(y).sum(axis=1, keepdims=True))
        y = y - y.max(axis=1, keepdims=True)
        return y - np.log(np.exp(y).sum(axis=1, keepdims=True))

    def divergence(self, dense, sparse):
        T = self.forms.dtype(self.c.temperature)
        log_p, log_q = self.log_softmax(dense / T), self.log_softmax(sparse / T)
        p, q = np.exp(log_p), np.exp(log_q)
        if self.forms.kl == "ratio":
            terms = p * np.log(p / q)
        elif self.forms.kl == "entropies":
            terms = p * log_p - p * log_q
        else:
            terms = p * (log_p - log_q)
        loss = T * T * self.total(terms) / len(dense)
        return loss, (q - p) * T / len(dense)

    # layers: value and what backward needs

    def convolve(self, x, w, stride, pad):
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        K, C, R, S = w.shape
        P, Q = ((n - k) // stride + 1 for n, k in zip(x.shape[2:], (R, S), strict=True))
        taps = [
            (r, s, x[:, :, r : r + stride * P : stride, s : s + stride * Q : stride])
            for r in range(R)
            for s in range(S)
        ]
        if self.forms.convolution == "columns":
            columns = np.stack([tap for _, _, tap in taps], axis=2)  # (B, C, RS, P, Q)
            return np.einsum(
                "bctpq,kct->bkpq", columns, w.reshape(K, C, R * S), optimize=True
            ), taps
        y = 0
        for r, s, tap in taps[::-1] if self.forms.sums == "reversed" else taps:
            y = y + np.einsum("bcpq,kc->bkpq", tap, w[:, :, r, s], optimize=True)
        return y, taps

    def convolve_back(self, dy, x, w, taps, stride, pad):
        dw, dx = (
            np.zeros_like(w),
            np.zeros_like(np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))),
        )
        P, Q = dy.shape[2:]
        for r, s, tap in taps:
            dw[:, :, r, s] = np.einsum("bkpq,bcpq->kc", dy, tap, optimize=True)
            dx[:, :, r : r + stride * P : stride, s : s + stride * Q : stride] += np.einsum(
                "bkpq,kc->bcpq", dy, w[:, :, r, s], optimize=True
            )
        return dx[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw

    def norm(self, x, gamma, beta, mean, var, training, a):
        wide, axes = (slice(None), None, None), (0, 2, 3)
        new = mean, var
        if training:
            M = x.size // x.shape[1]
            mean = self.total(x, axes) / self.forms.dtype(M)
            var = self.total((x - mean[wide]) ** 2, axes) / self.forms.dtype(M)
            if self.forms.norm == "moments" and self.forms.dtype is np.float64:
                var = self.total(x * x, axes) / M - mean**2
            m = self.forms.dtype(a["momentum"])
            new = (
                (1 - m) * new[0] + m * mean,
                (1 - m) * new[1] + m * var * self.forms.dtype(M / (M - 1)),
            )
        inverse = 1 / np.sqrt(var + self.forms.dtype(a["epsilon"]))
        if self.forms.norm == "moments":
            scale = gamma * inverse
            y = x * scale[wide] + (beta - mean * scale)[wide]
        else:
            y = gamma[wide] * ((x - mean[wide]) * inverse[wide]) + beta[wide]
        return y, new, ((x - mean[wide]) * inverse[wide], inverse, training)

    def forward(self, p, buffers, images, training, see):
        values, caches, new = {"images": images}, {}, {}
        for node in self.setting.network.graph.nodes:
            n, a, x = node.name, node.attributes, values[node.inputs[0]]
            cache = x
            if node.operation == "convolution":
                y, cache = self.convolve(x, p[f"{n}.weight"], a["stride"][0], a["padding"][0])
            elif node.operation == "batch_norm":
                stats = buffers[f"{n}.running_mean"], buffers[f"{n}.running_var"]
                y, moved, cache = self.norm(
                    x, p[f"{n}.weight"], p[f"{n}.bias"], *stats, training, a
                )
                new |= (
                    {f"{n}.running_mean": moved[0], f"{n}.running_var": moved[1]}
                    if training
                    else {}
                )
            elif node.operation == "relu":
                y = np.where(x > 0, x, 0).astype(x.dtype)
            elif node.operation in ("max_pool", "average_pool"):
                y, cache = self.pool(x, a, node.operation)
            elif node.operation == "flatten":
                y = x.reshape(len(x), -1)
            elif node.operation == "linear":
                y = x @ p[f"{n}.weight"].T + p[f"{n}.bias"]
            else:
                raise NotImplementedError(node.operation)
            values[n], caches[n] = y, cache
            see(n, y)
        return y, new, values, caches

    def pool(self, x, a, kind):
        k, s, pad = a["kernel"][0], a["stride"][0], a["padding"][0]
        fill = -np.inf if kind == "max_pool" else 0
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
        P, Q = ((n - k) // s + 1 for n in padded.shape[2:])
        taps = np.stack(
            [padded[:, :, r : r + s * P : s, c : c + s * Q : s] for r in range(k) for c in range(k)]
        )
        y = taps.max(axis=0) if kind == "max_pool" else self.total(taps, (0,)) / x.dtype.type(k * k)
        return y, (taps.argmax(axis=0), padded.shape, (k, s, pad))

    def pool_back(self, dy, cache, kind):
        winner, shape, (k, s, pad) = cache
        dx = np.zeros(shape, dy.dtype)
        P, Q = dy.shape[2:]
        for i in range(k * k):
            part = np.where(winner == i, dy, 0) if kind == "max_pool" else dy / dy.dtype.type(k * k)
            dx[:, :, i // k : i // k + s * P : s, i % k : i % k + s * Q : s] += part
        return dx[:, :, pad : shape[2] - pad, pad : shape[3] - pad]

    def backward(self, p, values, caches, dy, see):
        gradients: dict[str, Any] = {}
        for node in reversed(self.setting.network.graph.nodes):
            n, a, x, cache = node.name, node.attributes, values[node.inputs[0]], caches[node.name]
            see(n, dy)
            if node.operation == "convolution":
                dy, gradients[f"{n}.weight"] = self.convolve_back(
                    dy, x, p[f"{n}.weight"], cache, a["stride"][0], a["padding"][0]
                )
            elif node.operation == "batch_norm":
                normed, inverse, training = cache
                wide, axes = (slice(None), None, None), (0, 2, 3)
                dgamma, dbeta = self.total(dy * normed, axes), self.total(dy, axes)
                gradients |= {f"{n}.weight": dgamma, f"{n}.bias": dbeta}
                M = dy.dtype.type(dy.size // dy.shape[1])
                inner = dy - dbeta[wide] / M - normed * dgamma[wide] / M if training else dy
                dy = (p[f"{n}.weight"] * inverse)[wide] * inner
            elif node.operation == "relu":
                dy = np.where(x > 0, dy, 0).astype(dy.dtype)
            elif node.operation in ("max_pool", "average_pool"):
                dy = self.pool_back(dy, cache, node.operation)
            elif node.operation == "flatten":
                dy = dy.reshape(x.shape)
            else:
                gradients[f"{n}.weight"], gradients[f"{n}.bias"] = dy.T @ x, self.total(dy, (0,))
                dy = dy @ p[f"{n}.weight"]
        return gradients

    # the step

    def start(self, rates, target):
        ranks = [round(float(r) * self.p[n].size) for n, r in zip(self.layers, rates, strict=True)]
        t = [
            np.sort(np.abs(self.p[n]), axis=None)[k - 1] if k else 0
            for n, k in zip(self.layers, ranks, strict=True)
        ]
        if self.c.initial_threshold == "rounded down":
            pairs = zip(self.layers, rates, strict=True)
            ranks = [max(int(r * self.p[n].size), 1) for n, r in pairs]
            t = [
                np.sort(np.abs(self.p[n]), axis=None)[k - 1]
                for n, k in zip(self.layers, ranks, strict=True)
            ]
        t = np.array(t, self.forms.dtype)
        if target is not None:
            t = self.project(t, target)
        self.s = t
        if self.c.threshold_parameter == "sigmoid":
            with np.errstate(divide="ignore"):
                self.s = np.maximum(np.log(t / (1 - t)), -30).astype(self.forms.dtype)

    def project(self, t, target):
        pairs = zip(self.layers, t, strict=True)
        ratios = np.sort(np.concatenate([np.abs(self.p[n]).ravel() / x for n, x in pairs]))
        k = round(target * len(ratios))
        return t * ((ratios[k - 1] + ratios[k]) / 2)

    def density(self, points, w, sample):
        if self.c.density == "histogram":
            heights, edges = np.histogram(w, bins=self.c.histogram_bins, density=True)
            k = np.searchsorted(edges, points, side="right") - 1
            inside = (k >= 0) & (k < len(heights))
            return np.where(inside, heights[np.clip(k, 0, len(heights) - 1)], 0).astype(w.dtype)
        h = w.dtype.type(self.c.bandwidth_factor) * w.std(ddof=1)
        z = (points[:, None] - w.ravel()[sample]) / h
        return self.total(np.exp(-z * z / 2), (1,)) / (
            z.shape[1] * h * w.dtype.type(math.sqrt(2 * math.pi))
        )

    def step(self, images, samples, factor, target, see):
        c, F = self.c, self.forms.dtype
        few = self.forms.record == "few"
        log = see if not few else lambda name, value: None
        t = self.sigmoid(self.s) if c.threshold_parameter == "sigmoid" else self.s
        W = {n: self.p[n] for n in self.layers}
        tie = F(0.5 if c.tie == "half" else 0)
        masks = {
            n: np.where(np.abs(w) > x, F(1), np.where(np.abs(w) == x, tie, F(0)))
            for (n, w), x in zip(W.items(), t, strict=True)
        }
        sparse = {n: masks[n] * w for n, w in W.items()}
        log("rate_factor", np.array(factor))
        log("thresholds", t)
        for n in self.layers:
            see(f"mask/{n}", masks[n])
            log(f"sparse_weight/{n}", sparse[n])
        images = images.astype(F)
        teaches = c.teacher_batch_norm == "training"
        dense, *_ = self.forward(
            self.dense,
            self.dense_buffers,
            images,
            teaches,
            lambda n, y: log(f"dense_activation/{n}", y),
        )
        p = self.p | sparse
        y, new, values, caches = self.forward(
            p, self.buffers, images, True, lambda n, y: log(f"activation/{n}", y)
        )
        for n, b in new.items():
            see(f"new_buffer/{n}", b)
        log("dense_logits", dense)
        log("sparse_logits", y)
        L_rec, dlogits = self.divergence(dense, y)
        see("reconstruction_loss", np.array(L_rec))
        count = (lambda w, x: np.abs(w) < x) if c.strict_rate else (lambda w, x: np.abs(w) <= x)
        N = np.array([w.size for w in W.values()], F)
        r = np.array([count(w, x).mean() for w, x in zip(W.values(), t, strict=True)], F)
        excess = self.total(r * N) / self.total(N) - F(target)
        see("rates", r)
        log("control_loss", np.abs(excess))
        log("total_loss", np.array(L_rec + F(c.control_weight) * np.abs(excess)))
        log("dsparse_logits", dlogits)
        gradients = self.backward(
            p, values, caches, dlogits, lambda n, d: log(f"dactivation/{n}", d)
        )
        dt = np.zeros_like(t)
        for n in self.layers:
            log(f"dsparse_weight/{n}", gradients[n])
        if self.setting.control == "loss":
            P = np.stack(
                [
                    self.density(np.stack([x, -x]), w, s)
                    for (n, w), x, s in zip(W.items(), t, samples, strict=True)
                ]
            )
            sign = np.sign(excess) if excess != 0 or c.at_target == "zero" else F(-1)
            dr = P[:, 0] + P[:, 1]
            by_rate = sign * N / self.total(N)
            log("densities", P)
            log("drate_dthreshold", dr)
            log("dcontrol_drate", by_rate)
            log("dcontrol_dthreshold", by_rate * dr)
            dt = dt + F(c.control_weight) * by_rate * dr
        if c.reconstruction_moves_thresholds:
            dM = {n: gradients[n] * w for n, w in W.items()}
            inside = {
                n: F(-0.5) * (np.abs(np.abs(w) - x) < 1)
                for (n, w), x in zip(W.items(), t, strict=True)
            }
            for n in self.layers:
                log(f"dmask_dthreshold/{n}", inside[n])
                log(f"dmask/{n}", dM[n])
            drec = np.array([self.total(dM[n] * inside[n]) for n in self.layers], F)
            log("dreconstruction_dthreshold", drec)
            dt = dt + drec
        see("dthreshold", dt)
        for n in self.layers:
            gradients[n] = masks[n] * gradients[n]
            log(f"dweight/{n}", gradients[n])
        self.update(gradients, dt, t, F(factor), new, target, see, log)

    def by_torch(self, gradients, rate):
        """Return the parameters and velocities that torch.optim.SGD gives."""
        import torch

        if not hasattr(self, "optimiser"):
            self.tensors = {n: torch.tensor(w) for n, w in self.p.items()}
            c = self.c
            self.optimiser = torch.optim.SGD(
                self.tensors.values(), lr=1.0, momentum=c.momentum, weight_decay=c.weight_decay
            )
        self.optimiser.param_groups[0]["lr"] = float(rate)
        for n, tensor in self.tensors.items():
            tensor.grad = torch.tensor(gradients[n])
        self.optimiser.step()
        buffers = {n: self.optimiser.state[x]["momentum_buffer"] for n, x in self.tensors.items()}
        return {n: (x.numpy().copy(), buffers[n].numpy().copy()) for n, x in self.tensors.items()}

    def update(
        self,
        gradients,
        dt,
        t,
        factor,
        new,
        target,
        see,
        log,
    ):
        c, F = self.c, self.forms.dtype
        m, decay, rate = F(c.momentum), F(c.weight_decay), F(c.learning_rate) * factor
        moved = self.by_torch(gradients, rate) if self.forms.sgd == "torch" else {}
        for n, w in self.p.items():
            log(f"dparameter/{n}", gradients[n])
            v = m * self.velocities[n] + gradients[n] + decay * w
            log(f"velocity/{n}", v)
            step = (
                rate * (m * self.velocities[n]) + rate * (gradients[n] + decay * w)
                if self.forms.sgd == "difference"
                else rate * v
            )
            self.p[n], self.velocities[n] = moved.get(n, (w - step, v))
            see(f"new_parameter/{n}", self.p[n])
        ds = dt * t * (1 - t) if c.threshold_parameter == "sigmoid" else dt
        log("dthreshold_parameter", ds)
        self.sv = m * self.sv + ds
        self.s = self.s - F(c.threshold_learning_rate) * factor * self.sv
        if c.threshold_parameter == "threshold":
            self.s = np.maximum(self.s, 0)
        log("threshold_velocity", self.sv)
        log("new_threshold_parameters", self.s)
        if self.setting.control == "projection":
            self.s = self.project(self.s, target)
        see(
            "new_thresholds", self.sigmoid(self.s) if c.threshold_parameter == "sigmoid" else self.s
        )
        self.buffers |= new


def _keep(quantities, name, value):
    quantities[name] = np.array(value)


def run(setting: Setting, batches, factors, targets, rates, forms: Forms) -> Trace:
    """Take a step per batch (images and samples), each from the state that the last one left."""
    program, steps = Independent(setting, forms), {}
    program.start(rates, targets[0] if setting.ramp else None)
    for number, (images, samples) in enumerate(batches):
        state = {
            **{f"parameters/{n}": a for n, a in program.p.items()},
            **{f"buffers/{n}": a for n, a in program.buffers.items()},
            **{f"velocities/{n}": a for n, a in program.velocities.items()},
            "threshold_parameters": program.s,
            "threshold_velocities": program.sv,
        }
        drawn = {f"samples/{n}": s for n, s in zip(program.layers, samples, strict=True) if s.size}
        inputs = {name: np.array(a) for name, a in state.items()} | {"images": images} | drawn
        quantities: dict[str, Any] = (
            {"initial_rates": rates.astype(forms.dtype)} if number == 0 else {}
        )
        program.step(
            images,
            samples,
            factors[number],
            targets[number],
            partial(_keep, quantities),
        )
        steps[number] = StepTrace(inputs, quantities)
    return Trace(steps, setting)
