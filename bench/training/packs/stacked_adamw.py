"""AdamW for K trials at once: their trained tensors, gradients and moments are rows of [K, P] buffers.

The update is torch.optim.AdamW's (Loshchilov and Hutter, 2019, algorithm 2), each trial with its own learning rate and
step count, in the same few operations whatever K.
"""

import torch
from torch import Tensor


def clip_rows(grad: Tensor, most: Tensor) -> None:
    """Scale each row of grad [K, P] down to a norm of `most` [K], as torch's clip_grad_norm_ does for one trial."""
    norms = torch.linalg.vector_norm(grad, dim=1)
    grad.mul_((most / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(1))


class StackedAdamW:
    """Moments and step counts of K trials.

    `decay` [P] is the weight decay of each column; `kind` [P] says which of `multipliers` its learning rate is times.
    `steps` [K, tensors] counts on the device for torch's own optimiser, which wants a count of its own for each tensor.
    The update itself takes the counts on the host, so that no step waits for the device.
    """

    def __init__(self, parameters: Tensor, decay: Tensor, tensors: int, betas: tuple[float, float], eps: float) -> None:
        self.parameters, self.decay, self.betas, self.eps = parameters, decay, betas, eps
        self.first, self.second = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.steps = torch.zeros(len(parameters), tensors, dtype=torch.float32, device=parameters.device)
        self.done = [0] * len(parameters)
        self.multipliers: list[float] = [1.0]
        self.kind = torch.zeros(parameters.shape[1], dtype=torch.long, device=parameters.device)

    @torch.no_grad()
    def step(self, grad: Tensor, rates: list[float]) -> None:
        """One update of every row by grad [K, P] (left as it is) at its own learning rate."""
        beta1, beta2 = self.betas
        self.steps += 1
        self.done = [count + 1 for count in self.done]
        rows = [
            [[rate * m, -rate * m / (1 - beta1**count), (1 - beta2**count) ** 0.5] for m in self.multipliers]
            for rate, count in zip(rates, self.done, strict=True)
        ]
        values = torch.tensor(rows, dtype=torch.float64).to(self.parameters.dtype)
        values = values.to(self.parameters.device, non_blocking=True)  # [K, multipliers, 3]
        each = values if len(self.multipliers) == 1 else values[:, self.kind]  # one column that stands for all, or [P]
        rate, size, correction = each.unbind(2)
        self.parameters.mul_(1 - rate * self.decay)
        self.first.lerp_(grad, 1 - beta1)
        self.second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        scale = self.second.sqrt().div_(correction).add_(self.eps)
        self.parameters.addcdiv_(self.first * size, scale)
