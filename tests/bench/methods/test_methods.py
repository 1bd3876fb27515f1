"""Every method keeps the contract of methods: by being in bench/methods, it is tested here."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from finebench.bench.methods import Method, method, methods
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import tiny_architecture

NAMES = [name for name in methods() if not name.endswith(":")] + ["peft:LOHA"]


@pytest.fixture(params=NAMES)
def cls(request: pytest.FixtureRequest) -> Any:
    return method(request.param)


def test_its_default_is_a_configuration(cls: type[Method]) -> None:
    made = cls()  # type: ignore[call-arg]
    assert cls(**made.model_dump()) == made


def test_it_is_frozen(cls: type[Method]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        cls().lr = 1.0  # type: ignore[call-arg]


def test_unknown_hyperparameters_are_refused(cls: type[Method]) -> None:
    if cls.name.startswith("peft:"):
        pytest.skip("a peft tuner's options are checked by peft when the model is built")
    with pytest.raises(ValidationError, match="learning_rate"):
        cls(learning_rate=1e-3)  # type: ignore[call-arg]


@pytest.mark.parametrize("lr", ["1e-4", 0.0, -1.0, 10.0, float("nan"), float("inf"), True])
def test_a_bad_learning_rate_is_refused(cls: type[Method], lr: Any) -> None:
    with pytest.raises(ValidationError):
        cls(lr=lr)


def test_it_says_what_it_is_and_where_from(cls: type[Method]) -> None:
    for text in (cls.summary, cls.paper, cls.defaults_from):
        assert len(text) > 10
    assert "\n" not in cls.summary


def test_every_value_of_its_default_space_is_valid(cls: type[Method]) -> None:
    assert len(cls.default_space["lr"]) >= 3
    for key, values in cls.default_space.items():
        for value in values:
            cls(**{key: value})


def test_every_hyperparameter_has_a_line_of_meaning(cls: type[Method]) -> None:
    assert all(field.description for field in cls.model_fields.values())


def test_a_misspelt_name_is_answered_with_a_guess_and_the_choices() -> None:
    with pytest.raises(MethodError, match=r"did you mean 'bitfit'.*adapter.*peft:<TYPE>"):
        method("bitfitt")


def test_bias_free_models_refuse_bitfit_and_hear_what_applies() -> None:
    for kind in ("modernbert", "llama"):
        with pytest.raises(MethodError, match=r"no bias terms; methods that do: .*full, head, ia3") as caught:
            method("bitfit")().check(tiny_architecture(kind))
        assert "adapter" not in str(caught.value)
    method("bitfit")().check(tiny_architecture("llama", attention_bias=True))
    method("bitfit")().check(tiny_architecture("qwen2"))


def test_parts_of_a_fused_matrix_cannot_be_told_apart() -> None:
    bitfit = method("bitfit")
    with pytest.raises(MethodError, match="share one bias"):
        bitfit(terms="query").check(tiny_architecture("gpt2"))
    bitfit(terms="query+key+value").check(tiny_architecture("gpt2"))


def test_parts_are_put_in_order_and_checked() -> None:
    assert method("bitfit")(terms="intermediate+query").terms == "query+intermediate"
    assert method("lora")(target="value+query") == method("lora")()
    for bad in ("querry", "query+query", ""):
        with pytest.raises((MethodError, ValidationError)):
            method("bitfit")(terms=bad)
        with pytest.raises((MethodError, ValidationError)):
            method("lora")(target=bad)


def test_an_adapter_has_one_size() -> None:
    adapter = method("adapter")
    with pytest.raises(ValidationError, match="not both"):
        adapter(reduction_factor=16, bottleneck=64)
    sizes = [adapter(**given).size(768) for given in ({}, {"variant": "houlsby"}, {"variant": "parallel"})]
    assert sizes == [48, 64, 384]
    with pytest.raises(MethodError, match="leaves nothing"):
        adapter(reduction_factor=1000).size(768)


def test_prompts_leave_room_for_a_text() -> None:
    with pytest.raises(MethodError, match="leave no room in 64 positions"):
        method("prompt")(tokens=60).check(tiny_architecture("bert"))


def test_a_familys_member_is_one_class_with_free_options() -> None:
    one = method("peft:BOFT")
    assert one is method("peft:BOFT")
    assert one.name == "peft:BOFT"
    assert one(boft_block_size=8).model_dump() == {"lr": 1e-3, "boft_block_size": 8}
    with pytest.raises(MethodError, match="capitals"):
        method("peft:boft")


def test_methods_cost_no_torch() -> None:
    code = (
        "import sys; from finebench.bench.methods import methods;"
        "from finebench.bench.methods.cost import method_cost, probe; from finebench.bench.models import hub;"
        "[m() for n, m in methods().items()]; print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
