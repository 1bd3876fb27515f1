"""Parameter groups with learning rates of their own, against torch's AdamW with such groups made by hand."""

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from finebench.bench.methods import Method, method
from finebench.bench.study.parts.training import Training
from finebench.bench.training.optimiser import make_optimizer, multipliers_of, set_learning_rate
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import tiny_batch, tiny_model

LR, DECAY = 1e-2, 0.1


class Groups(Method):
    """Trains everything, in groups that a test chooses."""

    groups: Any = None

    def apply(self, model: Any) -> Any:
        """Everything."""
        return model.requires_grad_(True)

    def param_groups(self, model: Any) -> Any:
        """As told."""
        return self.groups


Groups.name = "groups"


def tuned(made: Method, kind: str = "bert") -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = made.apply(tiny_model(kind)).eval().double()
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:  # which begins at zero, where A has no gradient
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def lora_plus(name: str) -> float:
    return 16.0 if "lora_B" in name else 1.0


def layerwise(name: str) -> float:
    """Two layers: 1 above them, then 0.8, 0.64, and the embeddings at 0.512."""
    if "embeddings" in name:
        return 0.8**3
    return {"layer.1.": 0.8, "layer.0.": 0.8**2}.get(name[name.find("layer.") :][:8], 1.0)


@pytest.mark.parametrize(("name", "multiplier"), [("lora_plus", lora_plus), ("layerwise", layerwise)])
def test_training_is_that_of_torch_with_such_groups(name: str, multiplier: Any) -> None:
    made = method(name)(lr=LR)
    ours, theirs = tuned(made), tuned(made)
    optimizer = make_optimizer(ours, LR, DECAY, multipliers_of(made, ours))
    job: Any = type("Job", (), {"lr": LR, "steps": 4, "training": Training(warmup=0.0, schedule="constant")})()
    groups = [
        {"params": [p], "lr": LR * multiplier(n), "weight_decay": DECAY if p.ndim > 1 else 0.0}
        for n, p in theirs.named_parameters()
        if p.requires_grad
    ]
    oracle = torch.optim.AdamW(groups)
    assert len({group["lr"] for group in groups}) == (2 if name == "lora_plus" else 4)
    for step in range(1, 5):
        for model, one in ((ours, optimizer), (theirs, oracle)):
            one.zero_grad()
            cross_entropy(model(**tiny_batch("bert")).logits, torch.tensor([0, 1, 0])).backward()
        assert set_learning_rate(job, optimizer, step) == LR
        optimizer.step()
        oracle.step()
    for (key, wanted), found in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8, msg=lambda text, k=key: f"{k}: {text}")


def test_a_multiplier_of_one_changes_nothing() -> None:
    made = method("layerwise")(lr=LR, decay=1.0)
    model = tuned(made)
    plain, same = make_optimizer(model, LR, DECAY), make_optimizer(model, LR, DECAY, multipliers_of(made, model))
    assert [g["params"] for g in plain.param_groups] == [g["params"] for g in same.param_groups]


def test_groups_that_cannot_be_followed_are_refused() -> None:
    model = tiny_model("bert")
    for groups, words in (
        ([(["nobody"], 2.0)], "'nobody', which is no trained parameter"),
        ([(["classifier.bias"], 2.0), (["classifier.bias"], 3.0)], "stands in two groups"),
        ([(["classifier.bias"], 0.0)], "a positive number is needed"),
        ([(["classifier.bias"], float("nan"))], "a positive number is needed"),
    ):
        with pytest.raises(MethodError, match=words):
            multipliers_of(Groups(groups=groups), model)
