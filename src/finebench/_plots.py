"""`results.plot`: the report's figures as altair charts."""

from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt

from finebench.bench.util.errors import InputError, choose
from finebench.bench.util.own_python import libraries_first


class Plots(Mapping[str, Any]):
    """The figures of a report by name, and as attributes with `_` for `-`. Which there are depends on the results."""

    def __init__(self, specs: Mapping[str, dict[str, Any]]) -> None:
        self._specs = dict(specs)

    @libraries_first()
    def __getitem__(self, name: str) -> Any:
        if name not in self._specs:
            raise InputError(choose("figure", str(name), self._specs))
        return alt.Chart.from_dict(self._specs[name])

    def get(self, name: str, default: Any = None, /) -> Any:
        """The figure, or `default` where there is none: a mapping's own waits for a KeyError."""
        if name not in self:
            return default
        return self[name]

    def __getattr__(self, name: str) -> Any:
        specs = self.__dict__.get("_specs", {})
        found = next((one for one in specs if one.replace("-", "_") == name), None)
        if found is None:
            raise AttributeError(f"no figure {name!r}; there are {', '.join(specs)}")
        return self[found]

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __dir__(self) -> list[str]:
        return [name.replace("-", "_") for name in self._specs]

    def __repr__(self) -> str:
        return f"figures: {', '.join(self)}"
