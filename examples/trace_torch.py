"""An implementation of one FCPTS step in PyTorch, by autograd, that writes a trace.

    fcpts-ref trace --out reference.h5
    python examples/trace_torch.py reference.h5 mine.h5
    fcpts-ref diverge mine.h5 reference.h5

It reads the inputs of every step from ``reference.h5`` and shares no code with fcpts-ref.  With
``--mistake`` it takes dL/dM from the gradient of W instead of that of M * W, an easy mistake: the
pruned weights then have no effect on the thresholds.
"""

from __future__ import annotations

import json
import math
import sys

import h5py
import numpy as np
import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


def forward(graph, p, images, training, see):
    """Run every node in order; ``p``: parameters and buffers.  Return logits and new buffers."""
    values, buffers = {"images": images}, {}
    for node in graph["nodes"]:
        name, operation, a = node["name"], node["operation"], node["attributes"]
        x = values[node["inputs"][0]]
        if operation == "normalise":
            x = (x - p[f"{name}.mean"][:, None, None]) / p[f"{name}.std"][:, None, None]
        elif operation == "convolution":
            keys = {k: a[k] for k in ("stride", "padding", "dilation", "groups") if k in a}
            x = F.conv2d(x, p[f"{name}.weight"], p.get(f"{name}.bias"), **keys)
        elif operation == "batch_norm":
            mean, var = (p[f"{name}.running_{s}"].clone() for s in ("mean", "var"))
            x = F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"], training)
            buffers |= {f"{name}.running_mean": mean, f"{name}.running_var": var}
        elif operation == "relu":
            x = F.relu(x)
        elif operation == "add":
            x = x + values[node["inputs"][1]]
        elif operation == "subsample":
            x = x[:, :, :: a["stride"], :: a["stride"]]
        elif operation == "zero_pad":
            x = F.pad(x, (0, 0, 0, 0, a["before"], a["after"]))
        elif operation == "global_average_pool":
            x = x.mean((2, 3))
        elif operation == "linear":
            x = F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])
        else:
            raise ValueError(
                f"operation {operation!r} of {name!r}: add it here to trace this network"
            )
        values[name] = x
        see(f"activation/{name}", x)
    return x, buffers


def density(points, w, sample, c):
    """Estimate p at some points: Gaussian kernels, or the released code's histogram."""
    if c["density"] == "kernel":
        h = c["bandwidth_factor"] * (w.std() if c["bandwidth"] == "relative" else 1)
        z = (points[:, None] - w.flatten()[sample]) / h
        return torch.exp(-z * z / 2).mean(1) / (h * (2 * torch.pi) ** 0.5)
    bins, low, high = c["histogram_bins"], w.min(), w.max()
    counts = torch.histc(w, bins, low.item(), high.item())
    k = torch.searchsorted(torch.linspace(low, high, bins + 1), points, right=True) - 1
    inside = (k >= 0) & (k < bins)
    heights = counts / w.numel() * bins / (high - low)
    return torch.where(inside, heights[k.clamp(0, bins - 1)], 0)


def step(notes, dense, inputs, see, mistake):
    """Take one step of Algorithm 1, controlled by L_c."""
    c, graph = notes["conventions"], notes["graph"]
    p = {n.removeprefix("parameters/"): v for n, v in inputs.items() if n.startswith("parameters/")}
    s = inputs["threshold_parameters"]
    t = torch.sigmoid(s) if c["threshold_parameter"] == "sigmoid" else s
    see("thresholds", t)
    layers = [n["name"] for n in graph["nodes"] if n["operation"] in ("convolution", "linear")]
    names = [f"{layer}.weight" for layer in layers]
    leaves = {n: v.clone().requires_grad_() for n, v in p.items()}
    masks, sparse = {}, {}
    for i, n in enumerate(names):
        tie = torch.tensor(0.5 if c["tie"] == "half" else 0.0)
        masks[n] = torch.heaviside(p[n].abs() - t[i], tie)
        sparse[n] = masks[n] * leaves[n]
        see(f"mask/{n}", masks[n])
        see(f"sparse_weight/{n}", sparse[n])
    reconstruct(notes, dense, inputs, leaves | sparse, see)
    for n in names:
        see(f"dsparse_weight/{n}", sparse[n].grad)
    dM = {n: (leaves[n] if mistake else sparse[n]).grad * p[n] for n in names}
    dt = threshold_gradient(notes, inputs, {n: p[n] for n in names}, t, dM, see)
    update(notes, inputs, leaves, t, dt, see)


def reconstruct(notes, dense, inputs, parameters, see):
    """Compute L_rec forward and backward; the gradients are left on the tensors."""
    c = notes["conventions"]
    buffers = {n.removeprefix("buffers/"): v for n, v in inputs.items() if n.startswith("buffers/")}
    activations = {}
    for parameter in parameters.values():
        parameter.retain_grad()

    def keep(name, value):
        value.retain_grad() if value.requires_grad else None
        activations[name] = value
        see(name, value)

    graph, images, T = notes["graph"], inputs["images"], c["temperature"]
    Y, new_buffers = forward(graph, parameters | buffers, images, True, keep)
    training = c["teacher_batch_norm"] == "training"
    dense_Y, _ = forward(graph, dense, images, training, lambda *_: None)
    log_q, target_p = F.log_softmax(Y / T, 1), F.softmax(dense_Y / T, 1)
    loss = T * T * F.kl_div(log_q, target_p, reduction="batchmean")
    loss.backward()
    for name, value in activations.items():
        if value.grad is not None:
            see("d" + name, value.grad)
    for name, value in new_buffers.items():
        see(f"new_buffer/{name}", value)
    for name, value in (("dense_logits", dense_Y), ("sparse_logits", Y)):
        see(name, value)
    see("reconstruction_loss", loss)


def threshold_gradient(notes, inputs, W, t, dM, see):
    """Return dL/dt by Equations 8 and 10 to 14."""
    c = notes["conventions"]
    N = torch.tensor([float(w.numel()) for w in W.values()])
    below = torch.lt if c["strict_rate"] else torch.le
    layers = list(zip(W.items(), t, strict=True))
    r = torch.stack([below(w.abs(), x).double().mean() for (_, w), x in layers])
    excess = (r * N).sum() / N.sum() - notes["target"]
    see("rates", r)
    see("control_loss", excess.abs())
    P = [density(torch.stack([x, -x]), w, inputs.get(f"samples/{n}"), c) for (n, w), x in layers]
    see("densities", torch.stack(P))
    at_target = 0.0 if c["at_target"] == "zero" else -1.0
    sign = torch.sign(excess) if excess != 0 else at_target
    control = sign * N / N.sum() * torch.stack(P).sum(1)
    see("dcontrol_dthreshold", control)
    dt = c["control_weight"] * control
    if c["reconstruction_moves_thresholds"]:
        parts = [-0.5 * dM[n] * ((w.abs() - x).abs() < 1) for (n, w), x in layers]
        for n, value in dM.items():
            see(f"dmask/{n}", value)
        see("dreconstruction_dthreshold", torch.stack([part.sum() for part in parts]))
        dt = dt + torch.stack([part.sum() for part in parts])
    see("dthreshold", dt)
    return dt


def update(notes, inputs, leaves, t, dt, see):
    """Update all learned parameters by SGD with momentum."""
    c, factor = notes["conventions"], schedule(notes, inputs)
    see("rate_factor", torch.tensor(factor))
    for n, w in leaves.items():
        v = c["momentum"] * inputs[f"velocities/{n}"] + w.grad + c["weight_decay"] * w
        see(f"velocity/{n}", v)
        see(f"new_parameter/{n}", w - c["learning_rate"] * factor * v)
    sigmoid = c["threshold_parameter"] == "sigmoid"
    ds = dt * t * (1 - t) if sigmoid else dt
    v = c["momentum"] * inputs["threshold_velocities"] + ds
    s = inputs["threshold_parameters"] - c["threshold_learning_rate"] * factor * v
    see("new_thresholds", torch.sigmoid(s) if sigmoid else s.clamp(min=0))


def schedule(notes, inputs):
    """Return the learning-rate factor: linear warm-up, then half a cosine; times batch / 64."""
    s, number = notes["schedule"], inputs["step"]
    per_epoch = s["calibration_images"] // s["batch_size"]
    steps, warmup = s["epochs"] * per_epoch, notes["conventions"]["warmup_epochs"] * per_epoch
    scale = len(inputs["images"]) / 64
    late = notes["conventions"]["rate_update"] == "after the step"
    number = max(number - 1, 0) if late else number
    if number < warmup:
        return scale * (number if late else number + 1) / warmup
    first = warmup if notes["conventions"]["cosine"] == "after warm-up" else 0
    return scale * (1 + math.cos(math.pi * (number - first) / (steps - first))) / 2


def tensors(group):
    """Return all arrays of a group by their path in it."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = torch.from_numpy(np.array(item[()]))

    group.visititems(visit)
    return found


def main(reference, mine, *options):
    """Repeat every step of the reference's trace from its inputs."""
    with h5py.File(reference) as source, h5py.File(mine, "w") as out:
        out.attrs["format"] = np.bytes_("fcpts-ref trace")
        out.attrs["version"] = 2
        notes = json.loads(source["notes"][()].tobytes())
        dense = tensors(source["network/parameters"]) | tensors(source["network/buffers"])
        for number, group in source["steps"].items():

            def see(name, value, number=number):
                out[f"steps/{number}/quantities/{name}"] = value.detach().numpy()

            inputs = tensors(group["inputs"]) | {"step": int(number)}
            step(notes, dense, inputs, see, "--mistake" in options)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[3:] not in ([], ["--mistake"]):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
