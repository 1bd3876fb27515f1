"""The types of `fb.keys` are the study file's: its keys, which of them are needed, and their choices."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from finebench import keys
from finebench.bench.study import schema
from finebench.bench.study.parts import budget, claim, own_task, search, training
from finebench.bench.study.search_space import DISTRIBUTIONS

PARTS: dict[Any, type[BaseModel]] = {
    keys.Study: schema.Study,
    keys.Task: own_task.OwnTask,
    keys.Files: own_task.DataFiles,
    keys.OneFile: own_task.DataSplit,
    keys.Hub: own_task.DataHub,
    keys.Budget: budget.Budget,
    keys.CrossedSeeds: search.CrossedSeeds,
    keys.UntilSettled: search.UntilSettled,
    keys.GridSearch: search.GridSearch,
    keys.OptunaSearch: search.OptunaSearch,
    keys.Search: search.Search,
    keys.Select: training.Select,
    keys.Training: training.Training,
    keys.Resources: training.Resources,
    keys.Claim: claim.Claim,
}


def choices(hint: Any) -> Iterator[str]:
    """The words that may stand in a key itself, not in a list of it."""
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif get_origin(hint) in (Union, UnionType):
        for one in get_args(hint):
            yield from choices(one)


@pytest.mark.parametrize(("typed", "part"), PARTS.items(), ids=[one.__name__ for one in PARTS])
def test_keys_needs_and_choices_are_those_of_the_study_file(typed: Any, part: type[BaseModel]) -> None:
    assert set(get_type_hints(typed)) == set(part.model_fields)
    assert typed.__required_keys__ == {name for name, field in part.model_fields.items() if field.is_required()}
    for name, hint in get_type_hints(typed).items():
        if name != "search":  # whose two words stand for a mapping with that key
            assert set(choices(hint)) == set(choices(part.model_fields[name].annotation)), name


def test_every_part_of_the_schema_has_a_type() -> None:
    parts = {name for name in schema.Study.model_json_schema()["$defs"] if name != "StoredPlugin"}
    assert parts == {part.__name__ for part in PARTS.values()} - {"Study"}


def test_a_search_in_a_word_is_one_of_its_keys() -> None:
    assert set(choices(get_type_hints(keys.Study)["search"])) == set(search.Search.model_fields)


def test_distributions_are_those_of_a_search_space() -> None:
    assert set(get_type_hints(keys.Distribution)) == set(DISTRIBUTIONS)


def test_a_statement_is_a_claim_without_its_id() -> None:
    assert set(get_type_hints(keys.Statement)) == set(claim.Claim.model_fields) - {"id"}
