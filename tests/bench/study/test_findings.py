"""No word of Pydantic's reaches the user: every error that a study or a method's hyperparameters can give has ours."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from finebench.bench.methods import Method, methods
from finebench.bench.study.findings import NEEDED, STATED, sentences
from finebench.bench.study.load import build_study
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.claim_kinds import KINDS
from finebench.bench.study.parts.part import Part
from finebench.bench.util.errors import InputError, MethodError, guess

PARTS: list[type[BaseModel]] = [
    *Part.__subclasses__(),
    Budget,
    *methods().values(),
]
ODD: list[Any] = [
    None, True, 0, -1, 10**30, 1.5, -1.5, 0.0, float("inf"), float("nan"), "", "1", "1e-3", "x", "a b", "x" * 300, [],
    [0], ["x"], ["x"] * 3, [[]], [None] * 3, {}, {"x": 1}, {1: 2}, b"x", {"looks": "x"}, {"hub": 1, "validation": []},
]  # fmt: skip
FOREIGN = re.compile(r"input should|value error|\bvalid (string|integer|number|boolean|list|dict)|not permitted|"
                     r"instance|literal|constrained|union|tagged|Optional|\[type=|pydantic", re.IGNORECASE)  # fmt: skip

CAN_GIVE = {
    "any": (), "model-fields": ("model_type", "extra_forbidden", "missing", "invalid_key"), "model-field": (),
    "model": (), "default": (), "nullable": (), "union": (), "tagged-union": (), "definition-ref": (),
    "definitions": (),
    "function-before": ("value_error",), "function-after": ("value_error",), "function-plain": ("value_error",),
    "int": ("int_type", "int_from_float", "int_parsing_size"), "bool": ("bool_type",), "str": ("string_type",),
    "float": ("float_type", "finite_number"), "list": ("list_type",), "dict": ("dict_type",),
    "none": ("none_required",), "literal": ("literal_error",),
}  # fmt: skip
"""Errors that each kind of Pydantic's core schema can give; the tagged unions' tags are functions that always give one.
A kind that is not here makes the test fail, so that a key of a new type gets its words."""
LIMITS = {
    "gt": "greater_than", "ge": "greater_than_equal", "lt": "less_than", "le": "less_than_equal", "pattern": None,
    "min_length": None, "max_length": None, "multiple_of": "multiple_of",
}  # fmt: skip
LENGTHS = {
    ("str", "min_length"): "string_too_short", ("str", "max_length"): "string_too_long",
    ("str", "pattern"): "string_pattern_mismatch", ("list", "min_length"): "too_short",
    ("list", "max_length"): "too_long", ("dict", "min_length"): "too_short", ("dict", "max_length"): "too_long",
}  # fmt: skip


def kinds(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a core schema that checks something."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str) and schema["type"] != "model-field":
            yield schema
        for key, value in schema.items():
            if key not in ("metadata", "serialization", "config", "default", "ref", "cls", "function", "expected"):
                yield from kinds(value)
    elif isinstance(schema, list | tuple):
        for one in schema:
            yield from kinds(one)


def reachable(part: type[BaseModel]) -> set[str]:
    """Types of error that validating a part can give."""
    found: set[str] = set()
    for one in kinds(part.__pydantic_core_schema__):
        kind = one["type"]
        assert kind in CAN_GIVE, f"{part.__name__}: {kind} is of a kind whose errors have no words"
        found |= set(CAN_GIVE[kind])
        for limit in LIMITS.keys() & one.keys():
            found.add(LENGTHS.get((kind, limit)) or LIMITS[limit] or f"{kind} {limit}")
    return found


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_error_that_a_part_can_give_has_words(part: type[BaseModel]) -> None:
    assert reachable(part) - NEEDED.keys() - set(STATED) == set()


def test_no_words_are_for_errors_that_cannot_be() -> None:
    every = set().union(*map(reachable, PARTS), *(observed(part) for part in PARTS))
    assert set(NEEDED) - every == {"int_parsing", "float_parsing"}  # of options, which are text


def odd_errors(part: type[BaseModel]) -> Iterator[ValidationError]:
    """What validation says of odd values of each key."""
    for key in part.model_fields:
        for odd in ODD:
            try:
                part.model_validate({key: odd})
            except ValidationError as error:
                yield error
            except MethodError:  # in words of ours from the start
                continue


def observed(part: type[BaseModel]) -> set[str]:
    """Types of error that odd values give."""
    return {detail["type"] for error in odd_errors(part) for detail in error.errors()}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_odd_values_are_answered_in_our_words(part: type[BaseModel]) -> None:
    assert observed(part) - NEEDED.keys() - set(STATED) == set()
    said = [line for error in odd_errors(part) for line in sentences(error)]
    assert said or not part.model_fields
    for line in said:
        assert not FOREIGN.search(line.partition("(given:")[0]), line
        assert "not allowed" not in line, line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"resources": {"gpu": "x"}}, "resources.gpu: a number or auto is needed (given: 'x')"),
        (
            {"training": {"schedule": "lineal"}},
            "training.schedule: unknown schedule 'lineal'; did you mean 'linear'? choices: constant, cosine, linear",
        ),
        (
            {"fractions": ["1e-1"]},
            "fractions[0]: a number is needed (given: '1e-1'); write 1e-1 without quotation marks",
        ),
        (
            {"search": {"optuna": {"confirm_seeds": {"looks": "x"}}}},
            "search.optuna.confirm_seeds.looks: a list such as [a, b] is needed (given: 'x')",
        ),
        (
            {"training": {"class_weights": [0]}},
            "training.class_weights[0]: a number greater than 0 is needed (given: 0)",
        ),
        (
            {"seeds": {"mosst": 6}},
            "seeds: unknown key 'mosst'; did you mean 'most'? choices: init, looks, most, order, subset, until",
        ),
        (
            {"seeds": {"most": 9, "init": 3}},
            "seeds: either {init: n, order: n, subset: n} or {most: 30, until: settled} is needed, not both",
        ),
        (
            {"search": {"optuna": {"confirm_seeds": {"moost": 4}}}},
            "search.optuna.confirm_seeds: unknown key 'moost'; did you mean 'most'? choices: looks, most, until",
        ),
        (
            {"search": {"grid": {"confirm_seeds": {"untill": "settled"}}}},
            "search.grid.confirm_seeds: unknown key 'untill'; did you mean 'until'? choices: looks, most, until",
        ),
        (
            {"claims": [{"id": "c", "says": "matchs", "a": "full"}]},
            "claims[0].says: 'matchs' is not one of better, cheaper, collapses_more, matches, saturates_by, "
            "varies_more; did you mean 'matches'?",
        ),
        ({"tasks": []}, "tasks: a list or mapping with at least one entry is needed (given: [])"),
        ({"training": {3: 1}}, "training[3]: text as a key is needed (given: 3)"),
        ({"name": 3}, "name: text is needed (given: 3)"),
    ],
)
def test_messages_name_the_key_what_is_needed_and_what_was_given(changes: dict[str, Any], says: str) -> None:
    raw = {"name": "x", "tasks": ["mini-cola"], "methods": {"full": {"lr": 1e-3}}, "budget": {"steps": 2}}
    with pytest.raises(InputError) as caught:
        build_study(raw | changes, "x.yaml", Path("."))
    assert str(caught.value) == f"x.yaml: {says}"


def test_every_wrong_key_of_a_claim_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no claim has, and values of those that its kind has."""

    class More(Part):
        ties: float = 0.0
        draws: int = 0

    claim = {"id": "c", "says": "better", "a": "full", "b": "head"}
    monkeypatch.setattr(type(KINDS["better"]), "more", More)
    with pytest.raises(ValidationError) as unknown:
        Claim.model_validate(claim | {"tie": 1, "mergin": 2})
    about = [line.partition("? choices: ")[0] for line in sentences(unknown.value)]
    assert about == ["unknown key 'tie'; did you mean 'ties'", "unknown key 'mergin'; did you mean 'margin'"]
    with pytest.raises(ValidationError) as wrong:
        Claim.model_validate(claim | {"ties": "few", "draws": 0.5})
    assert sentences(wrong.value) == [
        "ties: a number is needed (given: 'few')",
        "draws: a whole number is needed (given: 0.5)",
    ]


@pytest.mark.parametrize(
    ("given", "choices", "meant"),
    [
        ("learning_rate", ["alpha", "dropout", "lr", "r"], "lr"),
        ("rank", ["alpha", "lr", "r"], "r"),
        ("batch", ["batch_size", "max_length"], "batch_size"),
        ("epoch", ["epochs", "steps"], "epochs"),
        ("seed", ["name", "seeds"], "seeds"),
        ("learning-rate", ["lr"], "lr"),
        ("datasets", ["tasks", "budget"], "tasks"),
        ("nonsense", ["lr", "tasks"], None),
    ],
)
def test_a_key_is_guessed_by_its_meaning(given: str, choices: list[str], meant: str | None) -> None:
    assert guess(given, choices) == meant


def test_a_method_with_a_type_that_has_no_words_still_gets_a_sentence_of_ours() -> None:
    class Odd(Method):
        when: tuple[int, int] = (1, 2)

    with pytest.raises(ValidationError) as caught:
        Odd.model_validate({"when": 3})
    assert sentences(caught.value) == ["when: this value is not allowed (given: 3)"]
