"""An adapter that checks PyTorch's own operations against the conformance vectors.

    fcpts-ref conform check --adapter examples/adapter_torch.py

One function per operation, with the inputs of its cases as arguments; missing ones are reported as
unsupported.  Use it as a template for an adapter of your own implementation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

REJECTIONS = (RuntimeError, IndexError)  # how torch refuses bad shapes and labels


def _tensors(*arrays: Any) -> list[Any]:
    """Convert arrays to leaves of the autograd graph; None stays None."""
    return [None if array is None else torch.from_numpy(array).requires_grad_() for array in arrays]


def _gradients(output: Any, dy: Any, *leaves: Any) -> tuple[Any, ...]:
    """Return the gradients of the leaves for one cotangent, by autograd."""
    given = [leaf for leaf in leaves if leaf is not None]
    found = torch.autograd.grad(output, given, torch.as_tensor(dy, dtype=output.dtype))
    return tuple(gradient.numpy() for gradient in found)


def reconstruction_loss(dense_logits: Any, sparse_logits: Any, temperature: float) -> Any:
    dense, sparse = torch.from_numpy(dense_logits), torch.from_numpy(sparse_logits)
    if not temperature > 0 or dense.shape[0] == 0 or dense.shape != sparse.shape:
        raise ValueError("bad temperature or shapes")
    if not (dense.isfinite().all() and sparse.isfinite().all()):
        raise ValueError("logits must be finite")
    log_p, log_q = (F.log_softmax(logits / temperature, dim=1) for logits in (dense, sparse))
    loss = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    return (loss * temperature**2).numpy()


def convolution_forward(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    tensors = _tensors(x, weight, bias)
    return F.conv2d(*tensors, stride, padding, dilation, groups).detach().numpy()


def convolution_backward(
    dy: Any, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    tensors = _tensors(x, weight, bias)
    return _gradients(F.conv2d(*tensors, stride, padding, dilation, groups), dy, *tensors)


def linear_forward(x: Any, weight: Any, bias: Any) -> Any:
    return F.linear(*_tensors(x, weight, bias)).detach().numpy()


def linear_backward(dy: Any, x: Any, weight: Any, bias: Any) -> Any:
    tensors = _tensors(x, weight, bias)
    return _gradients(F.linear(*tensors), dy, *tensors)


def batch_norm_forward(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    epsilon: float,
) -> Any:
    mean, variance = torch.from_numpy(running_mean), torch.from_numpy(running_var)
    tensors = _tensors(x, gamma, beta)
    y = F.batch_norm(
        tensors[0], mean, variance, tensors[1], tensors[2], training, momentum, epsilon
    )
    return y.detach().numpy(), mean.numpy(), variance.numpy()


def batch_norm_backward(
    dy: Any,
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    epsilon: float,
) -> Any:
    mean, variance = torch.from_numpy(running_mean), torch.from_numpy(running_var)
    tensors = _tensors(x, gamma, beta)
    y = F.batch_norm(
        tensors[0], mean, variance, tensors[1], tensors[2], training, momentum, epsilon
    )
    return _gradients(y, dy, *tensors)


def relu_forward(x: Any) -> Any:
    return F.relu(torch.from_numpy(x)).numpy()


def relu_backward(dy: Any, x: Any) -> Any:
    (leaf,) = _tensors(x)
    return _gradients(F.relu(leaf), dy, leaf)


def relu6_backward(dy: Any, x: Any) -> Any:
    (leaf,) = _tensors(x)
    return _gradients(F.relu6(leaf), dy, leaf)


def max_pool_forward(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    return F.max_pool2d(torch.from_numpy(x), kernel, stride, padding).numpy()


def max_pool_backward(dy: Any, x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    (leaf,) = _tensors(x)
    return _gradients(F.max_pool2d(leaf, kernel, stride, padding), dy, leaf)


def average_pool_forward(x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    return F.avg_pool2d(torch.from_numpy(x), kernel, stride, padding).numpy()


def average_pool_backward(dy: Any, x: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    (leaf,) = _tensors(x)
    return _gradients(F.avg_pool2d(leaf, kernel, stride, padding), dy, leaf)


def log_softmax_backward(dy: Any, x: Any, axis: int = -1) -> Any:
    (leaf,) = _tensors(x)
    dim = axis + 1 if axis >= 0 else axis  # axes are counted without the batch
    return _gradients(F.log_softmax(leaf, dim=dim), dy, leaf)


def cross_entropy_forward(logits: Any, labels: Any) -> Any:
    return F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).numpy()


def cross_entropy_backward(dloss: float, logits: Any, labels: Any) -> Any:
    (leaf,) = _tensors(logits)
    return _gradients(F.cross_entropy(leaf, torch.from_numpy(labels)), dloss, leaf)


def sgd(
    parameter: Any,
    gradients: Any,
    learning_rates: Any,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> Any:
    leaf = torch.nn.Parameter(torch.from_numpy(parameter))
    optimiser = torch.optim.SGD(
        [leaf], lr=1.0, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )
    history = []
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        optimiser.param_groups[0]["lr"] = float(learning_rate)
        leaf.grad = torch.from_numpy(gradient)
        optimiser.step()
        history.append(leaf.detach().clone())
    state = optimiser.state[leaf].get("momentum_buffer")
    velocity = leaf.grad if state is None else state
    return torch.stack(history).numpy(), velocity.numpy()


def adam(
    parameter: Any,
    gradients: Any,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> Any:
    leaf = torch.nn.Parameter(torch.from_numpy(parameter))
    optimiser = torch.optim.Adam(
        [leaf], lr=learning_rate, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay
    )
    history = []
    for gradient in gradients:
        leaf.grad = torch.from_numpy(gradient)
        optimiser.step()
        history.append(leaf.detach().clone())
    return torch.stack(history).numpy()
