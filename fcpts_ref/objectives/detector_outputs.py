"""The outputs of a detector: class scores by Equation 4, and codes of boxes (convention 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fcpts_ref.checks import check_result
from fcpts_ref.detection.loss import smooth_l1, smooth_l1_gradient
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import BOXES, SCORES, Graph
from fcpts_ref.layers.softmax import softmax_forward
from fcpts_ref.objectives.objective import Array, Arrays
from fcpts_ref.spec.precise import kl_and_difference


@dataclass(frozen=True)
class DetectorOutputs:
    """The mean over images of sum_p w_p (T^2 KL_p + b E_p), where the weights of an image sum to 1.

    KL_p: KL(softmax(dense / T) || softmax(sparse / T)) of prior p, in nats.  E_p: the mean error
    of its four codes, squared or smooth L1.  b: ``box_weight``.
    w_p: equal for "uniform"; for "foreground" proportional to 1 - p_dense(background) +
    ``background_weight``, since nearly all priors of a picture are background.
    The scale is that of one prior, whatever their number, and so comparable to a classifier's.
    """

    temperature: float = 1.0
    box_error: Literal["smooth_l1", "squared"] = "smooth_l1"
    box_weight: float = 1.0
    prior_weight: Literal["foreground", "uniform"] = "foreground"
    background_weight: float = 0.01
    memorable = False  # 75,000 numbers an image

    def outputs(self, graph: Graph) -> dict[str, str]:
        """Both outputs.  Raises InputError for a graph that is no detector."""
        if not graph.is_detector:
            raise InputError(
                f"network {graph.name!r} has the outputs {', '.join(graph.outputs)}; expected a "
                f"detector's, {SCORES} and {BOXES}"
            )
        return {name: graph.outputs[name] for name in (SCORES, BOXES)}

    def loss_and_gradients(self, dense: Arrays, sparse: Arrays) -> tuple[Any, dict[str, Array]]:
        """Return the loss, float64, and its gradients in the dtype of the outputs.

        scores: (N, P, K), class 0 the background; boxes: (N, P, 4).
        Raises InputError for a loss that is not finite.
        """
        scores, codes, T = sparse[SCORES], sparse[BOXES], self.temperature
        N, P, K = scores.shape
        weight = self._weights(dense[SCORES])  # (N, P)
        wide = [one.astype(np.float64).reshape(N * P, K) for one in (dense[SCORES], scores)]
        with np.errstate(over="ignore", invalid="ignore"):
            kl, q_minus_p = kl_and_difference(wide[0], wide[1], T)
            difference = codes.astype(np.float64) - dense[BOXES]
            error, slope = self._error(difference)
            each = T * T * kl.reshape(N, P) + self.box_weight * error
            loss = float((weight * each).sum() / N)
        check_result(loss, "the reconstruction loss", "the outputs are too large")
        share = (weight / N)[..., np.newaxis]
        dscores = share * T * q_minus_p.reshape(N, P, K)
        dboxes = share * self.box_weight * slope
        return loss, {SCORES: dscores.astype(scores.dtype), BOXES: dboxes.astype(codes.dtype)}

    def _weights(self, scores: Array) -> Array:
        """Return the weights (N, P), float64, which sum to 1 for each image."""
        weight = np.ones(scores.shape[:2])
        if self.prior_weight == "foreground":
            p, _ = softmax_forward(scores.astype(np.float64))
            weight = 1 - p[..., 0] + self.background_weight
        total = weight.sum(axis=1, keepdims=True)  # 0 if background has no weight and is certain
        return np.asarray(weight / np.maximum(total, np.finfo(np.float64).tiny))

    def _error(self, difference: Array) -> tuple[Array, Array]:
        """Return the error of each prior (N, P), and its derivative by the codes (N, P, 4)."""
        if self.box_error == "squared":
            return np.square(difference).mean(axis=-1), difference / 2
        return smooth_l1(difference).mean(axis=-1), smooth_l1_gradient(difference) / 4
