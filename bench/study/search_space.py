"""A method's hyperparameter space as a study writes it: scalars fixed, lists for grids, mappings for distributions.

A value that is itself a list or a mapping stands inside a list: `target_modules: [[query, value]]` is one value,
`[[query], [query, value]]` a grid of two, `rank_pattern: [{query: 16}]` one value again.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from finebench.bench.util.errors import StudyError, choose, shown

MAX_COMBINATIONS = 200
"""How many combinations of a space's values are looked at one by one before anything runs."""

Scalar = str | int | float | bool | None
Value = Scalar | list[Any] | dict[str, Any]


@dataclass(frozen=True)
class Distribution:
    """What a search draws from: `uniform`, `loguniform` or `int` [low, high], ends included; or `choice` of values."""

    kind: str
    values: tuple[Value, ...]

    @property
    def options(self) -> int | None:
        """Number of values that can be drawn; None where the range is continuous."""
        if self.kind == "int":
            low, high = self._ends
            return high - low + 1
        return len(self.values) if self.kind == "choice" else None

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""
        if self.kind == "choice":
            return any(same_value(value, one) for one in self.values)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = cast(tuple[float, float], self.values)
        return low <= value <= high and (self.kind != "int" or float(value).is_integer())

    def drawn_as(self, value: Any) -> tuple[Value, ...]:
        """The values that may have been drawn where a configuration has this one: itself, or, where it is written
        otherwise than any of a choice or of a range of whole numbers, each of them. A method may hold a whole number as
        a float; it was drawn as a whole number."""
        if self.kind == "choice":
            return tuple(one for one in self.values if same_value(value, one)) or self.values
        if self.holds(value):
            return (int(value) if self.kind == "int" else value,)
        return tuple(map(self.option, range(self.options or 0))) if not isinstance(value, int | float) else ()

    def option(self, index: int) -> Value:
        """The value at a place, from 0, in a choice or a range of whole numbers."""
        return self._ends[0] + index if self.kind == "int" else self.values[index]

    @property
    def _ends(self) -> tuple[int, int]:
        low, high = self.values
        return int(cast(int, low)), int(cast(int, high))


@dataclass(frozen=True)
class Space:
    """One method's space for one task: parameter -> grid values, and parameter -> distribution."""

    grids: Mapping[str, tuple[Value, ...]]
    distributions: Mapping[str, Distribution]

    @property
    def size(self) -> int:
        """Number of grid points (a distribution counts as one)."""
        return math.prod(len(values) for values in self.grids.values())

    @property
    def values(self) -> dict[str, tuple[Value, ...]]:
        """Each parameter's values, those of a choice and the ends of a range with them."""
        return {**self.grids, **{key: found.values for key, found in self.distributions.items()}}

    @property
    def distinct(self) -> int | None:
        """Number of different configurations that a search can draw; None where a range is continuous."""
        drawn = [one.options for one in self.distributions.values()]
        return None if None in drawn else self.size * math.prod(number for number in drawn if number is not None)

    def configuration(self, index: int) -> dict[str, Value]:
        """The configuration at a place, from 0, of a space without continuous ranges."""
        found: dict[str, Value] = {}
        for key, values in self.grids.items():
            index, place = divmod(index, len(values))
            found[key] = values[place]
        for key, drawn in self.distributions.items():
            index, place = divmod(index, drawn.options or 1)
            found[key] = drawn.option(place)
        return found

    def one_at_a_time(self) -> Iterator[dict[str, Value]]:
        """The first configuration, and it again with each other value, end of a range or choice, one at a time."""
        first = {key: given[0] for key, given in self.values.items()}
        yield first
        for key, given in self.values.items():
            yield from (first | {key: value} for value in given[1:])

    def few(self) -> Iterator[dict[str, Value]]:
        """Every combination of values and ends of ranges, or, past MAX_COMBINATIONS, `one_at_a_time`."""
        every = math.prod(map(len, self.values.values()))
        return Space(self.values, {}).points() if every <= MAX_COMBINATIONS else self.one_at_a_time()

    def points(self) -> Iterator[dict[str, Value]]:
        """Every grid point, in the order written."""
        for values in itertools.product(*self.grids.values()):
            yield dict(zip(self.grids, values, strict=True))


DISTRIBUTIONS = ("choice", "int", "loguniform", "uniform")


def parse_space(raw: Mapping[str, Any], where: str, plural: frozenset[str] = frozenset()) -> Space:
    """Read one method's space; `where` (e.g. "x.yaml: methods.full") is named in errors. What is `plural` takes lists
    or mappings as values, so that a list of plain values is taken for neither such a value nor a grid."""
    grids: dict[str, tuple[Value, ...]] = {}
    distributions: dict[str, Distribution] = {}
    for key, value in raw.items():
        at = f"{where}.{key}"
        if isinstance(value, Mapping):
            distributions[key] = _distribution(value, at, key, key in plural)
        elif isinstance(value, list):
            if key in plural:
                _check_plural(value, at, key)
            grids[key] = _grid(value, at, key in plural)
        else:
            grids[key] = _grid([value], at)
    return Space(grids, distributions)


def as_space(point: Mapping[str, Any]) -> dict[str, Any]:
    """One configuration as a study writes it: a value that is a list or a mapping stands inside a list."""
    return {key: [value] if isinstance(value, list | dict) else value for key, value in point.items()}


def _check_plural(values: list[Any], at: str, key: str) -> None:
    """Refuse a list that could be one value or a grid of several, with both ways to write what is meant."""
    if not values or any(value is None or isinstance(value, list | dict) for value in values):
        return
    one, grid = [values], [[value] for value in values]
    raise StudyError(
        f"{at}: {shown(values)} could be one value or a grid; write {key}: {written(one)} for one value that is a list"
        + (f", {key}: {written(grid)} for a grid of {len(grid)}" if len(grid) > 1 else "")
    )


def written(value: Any) -> str:
    """A value as YAML has it in a line, e.g. [[query, value]]."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)}: {written(one)}" for key, one in value.items()) + "}"
    plain = isinstance(value, str) and value.replace("_", "").replace(".", "").isalnum()
    return str(value) if plain else json.dumps(value, ensure_ascii=False, default=str)


def _grid(values: list[Any], at: str, plural: bool = False) -> tuple[Value, ...]:
    if not values:
        raise StudyError(f"{at}: the grid is empty; give at least one value")
    seen: set[str] = set()
    for value in values:
        if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in DISTRIBUTIONS:
            raise StudyError(f"{at}: a grid holds plain values; a distribution stands alone, without a list around it")
        if not isinstance(value, Scalar) and not (plural and isinstance(value, list | dict)):
            raise StudyError(f"{at}: a grid holds plain values, not {shown(value)}")
        text = _canonical(value, at)
        if text in seen:
            raise StudyError(f"{at}: {shown(value)} stands twice in the grid")
        seen.add(text)
    return tuple(values)


def _canonical(value: Any, at: str) -> str:
    """What makes two values of a grid the same: numbers by value, lists and mappings by their content."""
    try:
        return _text(value)
    except (TypeError, ValueError) as error:  # a date, or keys of several types
        raise StudyError(f"{at}: a value holds text, numbers, lists and mappings, not {shown(value)}") from error


def _text(value: Any) -> str:
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, sort_keys=True)


def same_value(one: Any, other: Any) -> bool:
    """Whether two values of a parameter are the same: numbers by value, true not as 1, lists and mappings by
    content."""
    return _text(one) == _text(other)


def _distribution(raw: Mapping[str, Any], at: str, key: str, plural: bool) -> Distribution:
    as_value = f"; a value that is a mapping stands in a list: {key}: {written([dict(raw)])[:200]}" if plural else ""
    if len(raw) != 1:
        kinds = ", ".join(DISTRIBUTIONS)
        raise StudyError(f"{at}: a distribution is one of {kinds}, e.g. {{loguniform: [1e-5, 1e-2]}}{as_value}")
    kind, values = next(iter(raw.items()))
    if kind not in DISTRIBUTIONS:
        raise StudyError(f"{at}: {choose('distribution', str(kind), DISTRIBUTIONS)}{as_value}")
    if not isinstance(values, list):
        raise StudyError(f"{at}.{kind}: a list is needed, not {shown(values)}")
    if kind == "choice":
        return Distribution(kind, _grid(values, f"{at}.{kind}", plural))
    return Distribution(kind, _interval(kind, values, f"{at}.{kind}"))


def _interval(kind: str, values: list[Any], at: str) -> tuple[Scalar, ...]:
    numeric = int if kind == "int" else (int, float)
    if len(values) != 2 or not all(isinstance(v, numeric) and not isinstance(v, bool) for v in values):
        raise StudyError(f"{at}: two numbers [low, high] are needed, not {shown(values)}")
    low, high = values
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise StudyError(f"{at}: low must be below high, got {shown(values)}")
    if kind == "loguniform" and low <= 0:
        raise StudyError(f"{at}: a log-uniform range starts above 0, got {shown(low)}")
    return (low, high) if kind == "int" else (float(low), float(high))
