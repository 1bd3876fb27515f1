"""What validation finds wrong in a study, in our own words: file, key, what is needed, what was given, and a guess.

Pydantic gives a finding for each member of a union; those about one value become one sentence.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from finebench.bench.methods import TUNABLE, Method
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.own_task import DATA, OwnTask
from finebench.bench.study.parts.search import CrossedSeeds, GridSearch, OptunaSearch, Search, UntilSettled
from finebench.bench.study.parts.training import Resources, Select, Training
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import NAME, NAME_IN_WORDS, choose, guess, shown

MOST_LINES, LONGEST_LINE = 20, 2000
"""Findings that one message gives, and characters of each."""
RESERVED = ("resources", "per_task")
"""Keys of a method's space that are not hyperparameters."""

Context = Mapping[str, Any]

PATTERNS = {
    NAME: NAME_IN_WORDS,
    r"^[\w.-]+(/[\w.-]+)?$": "the name of a data set such as owner/name",
}
"""Patterns in words."""

NEEDED: dict[str, Callable[[Context], str]] = {
    "bool_type": lambda _: "true or false",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "int_parsing": lambda _: "a whole number",
    "int_parsing_size": lambda _: "a whole number of fewer digits",
    "float_type": lambda _: "a number",
    "float_parsing": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "string_type": lambda _: "text",
    "list_type": lambda _: "a list such as [a, b]",
    "dict_type": lambda _: "a mapping such as {key: value}",
    "model_type": lambda _: "a mapping such as {key: value}",
    "invalid_key": lambda _: "text as a key",
    "literal_error": lambda context: _one_of(_choices(context)),
    "greater_than": lambda context: f"a number greater than {context['gt']:g}",
    "greater_than_equal": lambda context: f"a number greater than or equal to {context['ge']:g}",
    "less_than": lambda context: f"a number less than {context['lt']:g}",
    "less_than_equal": lambda context: f"a number less than or equal to {context['le']:g}",
    "too_short": lambda context: f"a list or mapping with {_at_least(context['min_length'], 'entry', 'entries')}",
    "too_long": lambda context: f"a list or mapping with at most {context['max_length']} entries",
    "string_too_short": lambda context: f"text with {_at_least(context['min_length'], 'character', 'characters')}",
    "string_too_long": lambda context: f"text with at most {context['max_length']} characters",
    "string_pattern_mismatch": lambda context: PATTERNS.get(context["pattern"], f"text like {context['pattern']}"),
}
"""What is needed where a value is of another type or out of range, by the type of Pydantic's error."""

STATED = ("value_error", "missing", "extra_forbidden")
"""Types of error that are sentences of our own already."""

_LABEL = re.compile(
    r"(int|float|str|bool|none|[A-Z]\w*|(constrained|literal|list|dict|function|nullable|tagged-union|union|json|is-)\b.*)"
)
"""Parts of a place that are no keys: members of a union, as Pydantic calls them."""


def _at_least(count: int, one: str, many: str) -> str:
    return f"at least one {one}" if count == 1 else f"at least {count} {many}"


def _choices(context: Context) -> list[str]:
    """The values that a choice has; Pydantic gives them as "'a', 'b' or 'c'"."""
    return [one.strip("'") for one in re.split(r", | or ", context["expected"])]


def _one_of(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"


def _models_at(path: list[str]) -> tuple[type[BaseModel], ...]:
    """The Pydantic models whose keys may stand at this path of a study."""
    known: dict[str, tuple[type[BaseModel], ...]] = {
        "": (Study,),
        "training": (Training,),
        "select": (Select,),
        "resources": (Resources,),
        "search": (Search,),
        "search.grid": (GridSearch,),
        "search.grid.confirm_seeds": (UntilSettled,),
        "search.optuna": (OptunaSearch,),
        "search.optuna.confirm_seeds": (UntilSettled,),
        "seeds": (CrossedSeeds, UntilSettled),
        "budget": (Budget,),
        "tasks": (OwnTask,),
        "claims": (Claim,),
        "claims.budget": (Budget,),
    }
    return known.get(".".join(path), ())


def word(error: ValidationError, where: str, prefix: str = "", model: type[BaseModel] | None = None) -> str:
    """All findings as one message: file, key, what is needed, what was given."""
    lines = list(dict.fromkeys(line[:LONGEST_LINE] for line in sentences(error, prefix, model)))
    more = [f"… and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return f"{where}: " + f"\n{where}: ".join([*lines[:MOST_LINES], *more])


def sentences(error: ValidationError, prefix: str = "", model: type[BaseModel] | None = None) -> list[str]:
    """A sentence for each value that is wrong."""
    places: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        loc, unknown = detail["loc"], detail["type"] == "extra_forbidden"  # a user's key may look like a label
        place = (*_place(loc[:-1]), loc[-1]) if unknown else _place(loc)
        places.setdefault(place, []).append(dict(detail))
    found = []
    for place, details in places.items():
        stated = [one for one in details if one["type"] in STATED]
        deeper = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        if not stated and deeper:  # one member of a union has this type, and what is wrong is further down
            continue
        path = ".".join(filter(None, (prefix, _path(place))))
        said = [line for one in stated for line in _stated(one, place, path, model)]
        found += said or [_needed(details, path)]
    return found


def _place(loc: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keys and list positions of a value, without what Pydantic calls members of unions."""
    named = {1} if loc[:1] in (("methods",), ("tasks",)) else set()  # a user's own names, which may look like labels
    kept = (
        one
        for i, one in enumerate(loc)
        if isinstance(one, int) or not _is_label(one) or (i in named and "[" not in one)
    )
    return tuple(kept)


def _is_label(part: str) -> bool:
    return part in _TAGS or _LABEL.fullmatch(part) is not None


_TAGS = ("built-in", "own", *DATA)


def _path(place: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _stated(detail: dict[str, Any], place: tuple[Any, ...], full: str, model: type[BaseModel] | None) -> list[str]:
    """An unknown or missing key, or what a validator of ours says: of a part that is checked on its own, all of it."""
    if detail["type"] == "missing":
        return [f"{full}: this key is missing"]
    if detail["type"] == "extra_forbidden":
        tagged = next((DATA[part] for part in detail["loc"] if part in DATA), None)
        names = [part for part in place if isinstance(part, str)]
        own = tagged or (model if len(names) == 1 else None)
        owners = _models_at(names[:-1]) if own is None else (own,)
        key = str(detail["loc"][-1])
        parent = full.removesuffix(key).removesuffix(".")
        known = [name for owner in owners for name in _keys(owner)]
        wrong = choose("key", key, known) if owners else f"unknown key {key!r}"
        return [f"{parent}: {wrong}" if parent else wrong]
    error = detail["ctx"]["error"]
    if isinstance(error, ValidationError):  # the keys of a claim's kind
        return sentences(error, full)
    message = str(error)
    given = "" if shown(detail["input"]) in message else _given(detail["input"])
    return [f"{full}: {message[:1].lower()}{message[1:]}{given}" if full else message]


def _needed(details: list[dict[str, Any]], full: str) -> str:
    """What is needed in place of one value, by all that could stand there."""
    context = [one.get("ctx", {}) for one in details]
    known = [NEEDED[one["type"]](about) for one, about in zip(details, context, strict=True) if one["type"] in NEEDED]
    given = details[0]["input"]
    needed = f"{' or '.join(dict.fromkeys(known))} is needed" if known else "this value is not allowed"
    hint = ""
    if isinstance(given, str):
        choices = [name for one, about in zip(details, context, strict=True) if one["type"] == "literal_error"
                   for name in _choices(about)]  # fmt: skip
        near = guess(given, choices)
        numeric = any(one["type"] in ("float_type", "int_type") for one in details)
        if numeric and _is_number(given):
            hint = f"; write {given} without quotation marks"
        elif near:
            hint = f"; did you mean {near!r}?"
    return f"{full}: {needed}{_given(given)}{hint}" if full else f"{needed}{hint}"


def _given(value: Any) -> str:
    return "" if isinstance(value, Mapping | BaseModel) else f" (given: {shown(value)})"


def _keys(owner: type[BaseModel]) -> Iterable[str]:
    """What may stand where a part of a study stands; in a method's space also what is tuned and set beside it."""
    beside = (*TUNABLE, *RESERVED) if issubclass(owner, Method) else ()
    return (*owner.model_fields, *beside)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
