"""JSON schemas: of the study file, for editors, and of the tables of a results folder; types in words.

An editor with a YAML language server completes and checks a study whose first line is
`# yaml-language-server: $schema=finebench.schema.json`, after `finebench schema > finebench.schema.json`. It knows what
is registered; what a study's plugins bring it lets pass.
"""

from typing import Any

from finebench.bench import __version__
from finebench.bench.methods import TUNABLE, Method, methods
from finebench.bench.study.findings import RESERVED
from finebench.bench.study.parts.claim_kinds import KINDS
from finebench.bench.study.parts.training import Resources, Training
from finebench.bench.study.schema import Study
from finebench.bench.tasks import tasks

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DISTRIBUTIONS = ("uniform", "loguniform", "int")
"""Distributions with two ends; `choice` takes a list of values."""
NUMBERS_IN_WORDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
BOUNDS = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "up to"}


def study_schema() -> dict[str, Any]:
    """The study file's schema: its keys, the built-in tasks, and each method's hyperparameters with all ways to give
    them. What only the data and the model can tell is checked by `finebench plan`."""
    schema = Study.model_json_schema()
    parts, keys = schema["$defs"], schema["properties"]
    budget, seeds = keys["budget"], keys["seeds"]
    keys["budget"] = {"anyOf": [budget["items"], {**budget, "minItems": 1}]}
    crossed = [{"$ref": f"#/$defs/{name}"} for name in ("CrossedSeeds", "UntilSettled")]
    whole = {"type": "integer", "minimum": 1}
    keys["seeds"] = {"anyOf": [whole, {"type": "array", "items": whole, "minItems": 1}, *crossed]}
    keys["seeds"]["default"] = seeds["default"]
    keys["search"] = {"anyOf": [keys["search"], {"enum": ["grid", "optuna"]}]}
    keys["trial_timeout"] = {"type": ["number", "string"], "default": keys["trial_timeout"]["default"]}
    for key in ("text", "metric"):
        many = parts["OwnTask"]["properties"][key]
        parts["OwnTask"]["properties"][key] = {"anyOf": [many["items"], many]}
    own = next(one for one in keys["tasks"]["items"]["oneOf"] if "$ref" in one)
    built_in = {"enum": sorted(tasks())}
    keys["tasks"]["items"] = {"anyOf": [built_in, {"type": "string"}, own]}
    keys["methods"] = _methods(parts)
    keys["plugins"]["items"] = {"anyOf": [{"type": "string"}, keys["plugins"]["items"]]}
    parts["Claim"] = _claim(parts["Claim"])
    known = {"anyOf": [{"enum": list(keys["methods"]["properties"])}]}
    known["anyOf"] += [{"pattern": pattern} for pattern in keys["methods"]["patternProperties"]]
    without_plugins = {
        "if": {"not": {"required": ["plugins"]}},
        "then": {"properties": {
            "tasks": {"items": {"anyOf": [built_in, {"type": "object"}]}}, "methods": {"propertyNames": known},
        }},
    }  # fmt: skip
    head = {"$schema": DIALECT, "title": f"finebench study ({__version__})"}
    return head | {key: value for key, value in schema.items() if key != "title"} | without_plugins


def _claim(part: dict[str, Any]) -> dict[str, Any]:
    """A claim's keys; one of a kind that is not built in may have keys of its own."""
    ours: dict[str, Any] = {
        "if": {"properties": {"says": {"enum": sorted(name for name in KINDS if KINDS.code(name) is None)}}}
    }
    ours["then"] = {"propertyNames": {"enum": list(part["properties"])}}
    return {key: value for key, value in part.items() if key != "additionalProperties"} | ours


def _methods(parts: dict[str, Any]) -> dict[str, Any]:
    """The spaces of all methods; families by the pattern of their names, with keys of a library's own."""
    parts["Resources"] = Resources.model_json_schema()
    named, families = {}, {}
    for name, cls in methods().items():
        if name.endswith(":"):
            families[f"^{name}.+$"] = {"type": "object", "description": cls.summary}
        else:
            named[name] = _space(cls)
    return {
        "type": "object",
        "minProperties": 1,
        "properties": named,
        "patternProperties": families,
        "additionalProperties": {"type": "object"},
    }


def _space(cls: type[Method]) -> dict[str, Any]:
    """One method's space: each hyperparameter a value, a list of values, or a distribution."""
    options = Training.model_json_schema()["properties"]
    fields = cls.model_json_schema()["properties"] | {name: options[name] for name in TUNABLE}
    keys = {name: _ways(spec) for name, spec in fields.items()}
    beside = {"resources": {"$ref": "#/$defs/Resources"}, "per_task": {"type": "object"}}
    assert beside.keys() == set(RESERVED)
    return {
        "type": "object",
        "description": cls.summary,
        "properties": keys | beside,
        "additionalProperties": False,
    }


def _ways(spec: dict[str, Any]) -> dict[str, Any]:
    about = {key: spec[key] for key in ("description", "default") if key in spec}
    value = {key: one for key, one in spec.items() if key not in ("description", "default", "title")}
    ends = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    drawn = {name: ends for name in DISTRIBUTIONS} | {"choice": {"type": "array", "minItems": 1}}
    ranges = {"type": "object", "properties": drawn, "additionalProperties": False, "minProperties": 1}
    return about | {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}, ranges | {"maxProperties": 1}]}


def results_schema() -> dict[str, Any]:
    """The tables of a results folder: a row of each as a JSON object; Arrow's own name of a type beside it."""
    from finebench.bench.results.schema import ADDED, SCHEMA_VERSION, TABLES

    tables = {}
    for name, table in TABLES.items():
        columns = {column.name: _column(str(column.type), column.nullable) for column in table}
        required = [column.name for column in table if column.name not in ADDED]
        tables[name] = {"type": "object", "properties": columns, "required": required}
    head = {"$schema": DIALECT, "title": "finebench results", "schema_version": SCHEMA_VERSION}
    return head | {"type": "object", "properties": tables}


def _column(arrow: str, nullable: bool) -> dict[str, Any]:
    """A column's JSON type: a time is a text, a list an array of numbers."""
    known = {"int64": "integer", "double": "number", "bool": "boolean"}
    kind = "array" if arrow.startswith("list") else known.get(arrow, "string")
    return {"type": [kind, "null"] if nullable else kind, "arrow": arrow}


def type_words(spec: dict[str, Any]) -> str:
    """A field's JSON schema in words, e.g. "number above 0, below 10" or "relu | gelu"; null is left to the default."""
    if "anyOf" in spec:
        return " or ".join(type_words(one) for one in spec["anyOf"] if one.get("type") != "null")
    if "enum" in spec:
        return " | ".join(map(str, spec["enum"]))
    if "const" in spec:
        return str(spec["const"])
    kind = NUMBERS_IN_WORDS.get(spec.get("type", ""), spec.get("type", "any"))
    bounds = ", ".join(f"{word} {spec[key]:g}" for key, word in BOUNDS.items() if key in spec)
    return f"{kind} {bounds}".strip()
