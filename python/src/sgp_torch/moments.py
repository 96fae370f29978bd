# SPDX-License-Identifier: Apache-2.0
"""The second moment of Adam on nodes that average parameters instead of gradients.

Adam divides the mean m of the gradients (exp_avg) by the root of the mean v of their squares (exp_avg_sq). With an all-reduce
v is that of the mean gradient of n nodes, s^2 + r / n for a signal s and a variance r of a node's gradient. A node that knows
its own gradients alone gets s^2 + r, up to n times as much: its steps are too short by up to the root of n. To average the
moments over the nodes does not help, as the mean of squares is not the square of the mean.

But m tells signal from noise. Over the steps it is a mean of gradients with E m^2 = s^2 + c r, where
c = (1 - b1) (1 + b1^t) / ((1 + b1) (1 - b1^t)) after t steps, so with g of this step and m of the steps before

    g^2 - e,    e = (1 - 1/n + c k) g^2 - k m^2,    k = (1 - 1/n) / (1 - c)

has the mean s^2 + r / n as well, and is above 0 for n < 1 / c; beyond that, n is taken as nearly 1 / c. So v loses
e (1 - b2) / b2 before the optimizer's step, which then makes b2 v + (1 - b2) (g^2 - e) of it. In between v may be below 0.
In the first three steps m has too much noise. So the v that they have made is corrected once, as a whole: v stands for the
mean of their g^2. Where v has a long memory, those steps matter for long. To wait for a better m would be wrong: where the first
gradients are large and change their direction, it would take signal for noise.

It costs two passes over m, v and g, and nothing on the network. There is no state beside the optimizer's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

_CLASSES = (torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam)
_LEAST = 0.01  # of g^2, in g^2 - e: far above its rounding, so that v stays above 0 where m is 0
_PIECE = 1 << 17  # elements of v, g and m that stay in a cache from the first pass to the second


def fits(optimizer: Optimizer) -> bool:
    """Whether the optimizer is one of torch's with both moments, or inherits its step."""
    for kind in type(optimizer).__mro__:
        if "step" in kind.__dict__:
            return kind in _CLASSES
    return False


def _noise(beta1: float, steps: int) -> float:
    """c: the variance of m after `steps` >= 1 steps, bias-corrected, in units of a gradient's."""
    decayed = beta1**steps
    return (1 - beta1) * (1 + decayed) / ((1 + beta1) * (1 - decayed))


def _independent(nodes: int, c: float) -> float:
    """For how many nodes m can stand: it has no less noise than the mean of 1 / c gradients."""
    return min(nodes, 1 / (c + _LEAST * (1 - c)))


def _good(nodes: int, beta1: float, steps: int) -> bool:
    """Whether m after `steps` steps tells signal from noise: it stands for about three nodes, or as many as it ever will."""
    if steps == 0:
        return False
    enough = 0.9 * _independent(min(nodes, 3), (1 - beta1) / (1 + beta1))
    return _independent(nodes, _noise(beta1, steps)) >= enough


def excess(nodes: int, beta1: float, steps: int) -> tuple[float, float]:
    """(of g^2, of m^2) in e, for the plain m after `steps` steps, without its bias correction. (0, 0): m is not good yet."""
    if not _good(nodes, beta1, steps):
        return 0.0, 0.0
    c = _noise(beta1, steps)
    n = _independent(nodes, c)
    if n <= 1:
        return 0.0, 0.0
    k = (1 - 1 / n) / (1 - c)
    return 1 - 1 / n + c * k, k / (1 - beta1**steps) ** 2


class SecondMoments:
    """Corrects the second moments of the optimizers of one model.

    Args:
        nodes: n, whose gradients are independent samples.
    """

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self._on_device: dict[int, tuple[Any, int]] = {}
        self._open = False

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer, trained: frozenset[int]) -> None:
        """Between the last change of the gradients and the optimizer's step; not if the step will be skipped. trained: ids of
        the parameters that are averaged; others stay as they are, as does a state of less precision than float32."""
        if self.nodes < 2 or not fits(optimizer):
            return
        if self._open:  # the last step has failed
            _raise_to_zero(optimizer)
        scale = _gradient_scale(optimizer)
        if scale is None:
            return
        self._open = True
        for group in optimizer.param_groups:
            beta1, beta2 = (float(beta) for beta in group["betas"])
            if beta2 <= 0:
                continue
            by_age: dict[int, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                if id(parameter) in trained and _has_moments(optimizer, parameter):
                    by_age.setdefault(self._age(optimizer, parameter), []).append(parameter)
            for steps, parameters in by_age.items():
                of_g, of_m = excess(self.nodes, beta1, steps)
                if of_g <= 0:
                    continue
                if not _good(self.nodes, beta1, steps - 1):
                    _correct_first(optimizer, parameters, of_g, of_m * (1 - beta2**steps))
                factor = (1 - beta2) / beta2
                _correct(optimizer, group, parameters, factor * of_g, factor * of_m, scale)
        if _has_hooks(optimizer):
            _raise_to_zero(optimizer)

    def after_step(self) -> None:
        """The optimizer has made its step."""
        self._open = False

    def _age(self, optimizer: Optimizer, parameter: torch.Tensor) -> int:
        """Steps that have made the parameter's moments. One that a device counts is read once, as reading waits for it."""
        state = optimizer.state[parameter]
        step = state.get("step", 0)
        if not isinstance(step, torch.Tensor) or step.device.type == "cpu":
            return int(step)
        known, steps = self._on_device.get(id(parameter), (None, 0))
        if known is not state:  # the first time, or the optimizer's state has been loaded
            steps = int(step)
        self._on_device[id(parameter)] = (state, steps + 1)
        return steps


def _has_moments(optimizer: Optimizer, parameter: torch.Tensor) -> bool:
    gradient, state = parameter.grad, optimizer.state.get(parameter)
    if gradient is None or not state or gradient.layout != torch.strided:
        return False
    m, v = state.get("exp_avg"), state.get("exp_avg_sq")
    if m is None or v is None:
        return False
    return bool(m.dtype == v.dtype == gradient.dtype and v.dtype in (torch.float32, torch.float64))


def _has_hooks(optimizer: Optimizer) -> bool:
    """Whether somebody may change the gradients between before_step and the step. Then v must not count on g^2."""
    everywhere = getattr(sys.modules[Optimizer.__module__], "_global_optimizer_pre_hooks", None)
    return bool(everywhere or getattr(optimizer, "_optimizer_step_pre_hooks", None))


def _raise_to_zero(optimizer: Optimizer) -> None:
    for state in optimizer.state.values():
        if isinstance(state.get("exp_avg_sq"), torch.Tensor):
            state["exp_avg_sq"].clamp_(min=0)


def _gradient_scale(optimizer: Optimizer) -> float | None:
    """What the gradients are multiplied by: a fused optimizer takes the scale of a GradScaler off itself. None: it will skip
    the step."""
    found, scale = getattr(optimizer, "found_inf", None), getattr(optimizer, "grad_scale", None)
    if found is not None and float(found) != 0:
        return None
    return 1.0 if scale is None else float(scale)


def _correct_first(optimizer: Optimizer, parameters: Sequence[torch.Tensor], of_g: float, of_m: float) -> None:
    """v <- (1 - of_g) v + of_m m^2."""
    for state in (optimizer.state[parameter] for parameter in parameters):
        state["exp_avg_sq"].mul_(1 - of_g).addcmul_(state["exp_avg"], state["exp_avg"], value=of_m)


def _correct(
    optimizer: Optimizer,
    group: dict[str, Any],
    parameters: Sequence[torch.Tensor],
    of_g: float,
    of_m: float,
    scale: float,
) -> None:
    """v <- v - of_g g^2 + of_m m^2."""
    gradients = _effective_gradients(optimizer, group, parameters, scale)
    states = [optimizer.state[parameter] for parameter in parameters]
    ms, vs = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
    if any(v.device.type == "cpu" for v in vs):
        for v, g, m in zip(vs, gradients, ms):
            _correct_in_pieces(v, g, m, of_g, of_m)
    else:
        _correct_together(vs, gradients, ms, of_g, of_m)


def _effective_gradients(
    optimizer: Optimizer, group: dict[str, Any], parameters: Sequence[torch.Tensor], scale: float
) -> list[torch.Tensor]:
    """What the optimizer takes the squares of: weight decay that is not decoupled is a part of the gradient."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]  # all have one
    if scale != 1.0:
        gradients = [gradient / scale for gradient in gradients]
    decay = group.get("weight_decay", 0)
    decoupled = isinstance(optimizer, torch.optim.AdamW) or group.get("decoupled_weight_decay", False)
    if decay != 0 and not decoupled:
        sign = -1.0 if group.get("maximize", False) else 1.0
        gradients = [gradient.add(p.detach(), alpha=sign * decay) for gradient, p in zip(gradients, parameters)]
    return gradients


def _correct_together(
    vs: list[torch.Tensor], gs: list[torch.Tensor], ms: list[torch.Tensor], of_g: float, of_m: float
) -> None:
    """In few kernels of an accelerator."""
    torch._foreach_addcmul_(vs, gs, gs, value=-of_g)
    torch._foreach_addcmul_(vs, ms, ms, value=of_m)


def _correct_in_pieces(v: torch.Tensor, g: torch.Tensor, m: torch.Tensor, of_g: float, of_m: float) -> None:
    rows = v.shape[0] if v.dim() else 1
    some = max(1, _PIECE * rows // max(1, v.numel()))
    for begin in range(0, rows, some):
        part, gradient, mean = (x[begin : begin + some] if some < rows else x for x in (v, g, m))
        part.addcmul_(gradient, gradient, value=-of_g).addcmul_(mean, mean, value=of_m)
