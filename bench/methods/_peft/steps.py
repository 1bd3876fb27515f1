"""What tuners of peft want at every step, where peft leaves the call to the training loop.

AdaLoRA (Zhang et al., 2023, arXiv:2303.10512) takes ranks away by a schedule and adds an orthogonal penalty; ADAMSS
with `use_asa` lets subspaces rest; KaSA (arXiv:2412.06071) adds a penalty to the loss. What rests keeps its place among
what is trained: it gets no update, and is stored with the rest.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from peft import PeftType
from torch import Tensor, nn

from finebench.bench.models.each_step import StepCalls
from finebench.bench.models.parameters import trained_parameters
from finebench.bench.util.errors import MethodError

ADAPTER = "default"


def step_calls(tuner: Any, config: Any) -> StepCalls | None:
    """The calls that a tuner, put into its model with this config, wants at every step; None for most."""
    if config.peft_type == PeftType.ADALORA:
        return AdaLora(tuner, config)
    if config.peft_type == PeftType.ADAMSS and config.use_asa:
        return Asa(tuner, config)
    if getattr(config, "kasa_config", None) is not None:
        return Penalty(tuner._get_kasa_loss)
    return None


class Penalty:
    """A term of the loss, and nothing else."""

    read = frozenset[str]()

    def __init__(self, term: Callable[[], Any]) -> None:
        self._term = term

    def begin(self, steps: int) -> None:
        """Nothing depends on the number of steps."""

    def penalty(self) -> Tensor | None:
        """The tuner's own."""
        found: Tensor | None = self._term()
        return found

    def before(self) -> None:
        """Nothing rests."""

    def after(self, step: int) -> None:
        """Nothing is to be done."""

    def state(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing but nothing fits."""
        if state:
            raise ValueError("the calls at every step keep no state")

    def rehearse(self, calls: int) -> list[int]:
        """Any steps show it."""
        return list(range(1, calls + 1))


class AdaLora(Penalty):
    """Ranks are taken away between `tinit` and the last `tfinal` steps, the least important ones first; the penalty is
    `orth_reg_weight` times the mean over A and B of ‖A Aᵀ - I‖."""

    read = frozenset(("tinit", "tfinal", "deltaT", "beta1", "beta2"))

    def __init__(self, tuner: Any, config: Any) -> None:
        if config.init_r <= config.target_r:
            raise MethodError(
                f"peft's ADALORA takes ranks away: init_r {config.init_r} has to be above target_r {config.target_r}"
            )
        self._tuner, self._config, self._allocator = tuner, config, tuner.rankallocator

    def begin(self, steps: int) -> None:
        """Tell the schedule how long the run is."""
        self._allocator.set_total_step(steps)

    def penalty(self) -> Tensor | None:
        """As AdaLoraModel.forward adds it to a loss of the model's own."""
        terms = []
        for name, one in self._tuner.model.named_parameters():
            if f"lora_A.{ADAPTER}" in name or f"lora_B.{ADAPTER}" in name:
                gram = one @ one.T if "lora_A" in name else one.T @ one
                terms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
        weight: float = self._config.orth_reg_weight
        return torch.stack(terms).mean() * weight

    def after(self, step: int) -> None:
        """Importance is taken in, and ranks beyond the budget are masked."""
        self._tuner.update_and_allocate(step)

    def state(self) -> dict[str, Tensor]:
        """Importances by parameter, and which ranks are left."""
        allocator = self._allocator
        kinds = {"ipt": allocator.ipt, "average": allocator.exp_avg_ipt, "spread": allocator.exp_avg_unc}
        found = {f"{kind}/{name}": one for kind, held in kinds.items() for name, one in held.items()}
        left = self._config.rank_pattern or {}
        return found | {f"left/{name}": torch.tensor(ranks) for name, ranks in left.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """As `state` has it."""
        trained = trained_parameters(self._tuner.model)
        kinds: dict[str, dict[str, Any]] = {"ipt": {}, "average": {}, "spread": {}, "left": {}}
        for place, tensor in state.items():
            kind, _, name = place.partition("/")
            shape = trained[name].shape[:1] if kind == "left" else trained[name].shape
            if tensor.shape != shape:
                raise ValueError(f"{place} does not fit the model")
            kinds[kind][name] = tensor.tolist() if kind == "left" else tensor.to(trained[name].device)
        allocator = self._allocator
        allocator.ipt, allocator.exp_avg_ipt, allocator.exp_avg_unc = (
            kinds[kind] for kind in ("ipt", "average", "spread")
        )
        self._config.rank_pattern = kinds["left"] or None

    def rehearse(self, calls: int) -> list[int]:
        """The end of the schedule, where as many ranks are taken away as ever."""
        last = self._config.tinit + calls
        self.begin(last + self._config.tfinal)
        return [last - 1 + step for step in range(calls)]


class Asa(Penalty):
    """ADAMSS's adaptive subspace allocation: between two warm-up steps, every `mask_interval` steps, the least
    important subspaces are put to rest for good."""

    read = frozenset(
        ("init_warmup", "final_warmup", "mask_interval", "asa_importance_beta", "asa_uncertainty_beta",
         "asa_schedule_exponent")
    )  # fmt: skip
    _KINDS = ("exp_avg_ipt", "exp_avg_unc")

    def __init__(self, tuner: Any, config: Any) -> None:
        self._tuner, self._config = tuner, config
        self._resting: dict[str, nn.Parameter] = {}

    def penalty(self) -> Tensor | None:
        """None."""
        return None

    def before(self) -> None:
        """What rests gets no update."""
        for parameter in self._resting.values():
            parameter.grad = None

    def after(self, step: int) -> None:
        """Importance is taken in, and subspaces are put to rest. peft freezes those; here they count as trained."""
        self._tuner.update_and_allocate(step)
        for name, parameter, _, _ in self._places():
            if not parameter.requires_grad:
                parameter.requires_grad_(True)
                self._resting[name] = parameter

    def _places(self) -> Iterator[tuple[str, nn.Parameter, Any, tuple[str, int]]]:
        """Every parameter of a subspace: its name, itself, its layer, and its side and number there."""
        names = {id(parameter): name for name, parameter in self._tuner.model.named_parameters()}
        for layer in self._tuner.model.modules():
            for side in "AB" if ADAPTER in getattr(layer, "exp_avg_ipt_A", {}) else "":
                for index, parameter in enumerate(getattr(layer, f"adamss_{side}")[ADAPTER]):
                    yield names[id(parameter)], parameter, layer, (side, index)

    def state(self) -> dict[str, Tensor]:
        """Importances by parameter, and what rests."""
        found = {f"resting/{name}": torch.ones(()) for name in self._resting}
        for name, _, layer, (side, index) in self._places():
            for kind in self._KINDS:
                if (held := getattr(layer, f"{kind}_{side}")[ADAPTER][index]) is not None:
                    found[f"{kind}/{name}"] = held
        return found

    def restore(self, state: dict[str, Tensor]) -> None:
        """As `state` has it."""
        places = list(self._places())
        shapes = {f"{kind}/{name}": one.shape for name, one, _, _ in places for kind in self._KINDS}
        shapes |= {f"resting/{name}": torch.Size() for name, _, _, _ in places}
        if any(shapes.get(place) != tensor.shape for place, tensor in state.items()):
            raise ValueError("what is kept of the calls at every step does not fit the model")
        self._resting = {name: one for name, one, _, _ in places if f"resting/{name}" in state}
        for name, one, layer, (side, index) in places:
            for kind in self._KINDS:
                held = state.get(f"{kind}/{name}")
                getattr(layer, f"{kind}_{side}")[ADAPTER][index] = None if held is None else held.to(one.device)

    def rehearse(self, calls: int) -> list[int]:
        """Around the last time that subspaces are put to rest; after the end where there is no such time."""
        every, last = self._config.mask_interval, self._config.final_warmup
        mask = last - last % every
        first = mask - 1 if mask >= self._config.init_warmup else last + 1
        return list(range(first, first + calls))
