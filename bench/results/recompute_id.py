"""Recompute a stored row's trial_id from what the row, study.yaml and plan.json say.

A row does not say which revision of the model and of the data it was trained on, nor the versions of method and
training code. `run` writes those into plan.json as `identities`, an entry for each combination that the folder has
seen.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from finebench.bench.methods import method
from finebench.bench.study.load import method_resources, tuned_training
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.seeds import from_code
from finebench.bench.study.parts.training import split_point
from finebench.bench.study.plan import Identities
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import TRAINING_VERSION, Identity, Trial
from finebench.bench.util.errors import FinebenchError, ResultsError


def identity(known: Identities, study: Study) -> dict[str, Any]:
    """What this run's trial ids rest on beside study and row, as plan.json holds it."""
    asked = {name: method_resources(study, name) for name in sorted(study.methods)}
    return {
        "training_version": TRAINING_VERSION,
        "model": known.model.revision,
        "tasks": {name: one.revision for name, one in sorted(known.tasks.items())},
        "methods": {name: method(name).version for name in asked},
        "ranks": {name: one.number for name, one in asked.items() if one.number > 1},
        "in_shards": [name for name, one in asked.items() if one.shard == "full"],
    }


def extended(plan: Mapping[str, Any] | None, now: dict[str, Any]) -> list[dict[str, Any]]:
    """The identities of an earlier plan.json (None: there was none), and this one where it is new."""
    before = _listed(plan)
    return before if now in before else [*before, now]


def check_identity(uri: str, plan: Mapping[str, Any] | None, now: dict[str, Any]) -> None:
    """Raise ResultsError where an earlier run into the folder had other data, weights or code under the same names.

    Rows of both would stand in one cell.
    """
    changed: list[str] = []
    for before in _listed(plan):
        for kind in ("tasks", "methods"):
            there, here = before[kind], now[kind]
            changed += [f"{kind[:-1]} {name!r}" for name in here if name in there and there[name] != here[name]]
        for name in now["methods"]:
            if name in before["methods"] and _ranks(before, name) != _ranks(now, name):
                raise ResultsError(
                    f"results folder {uri!r} holds trials of {name!r} {_worded(before, name)}, and the study's "
                    f"resources say {_worded(now, name)}: sums over ranks are rounded in another order, so these are "
                    "other trials. Nothing was changed. Choose another folder with --results, or set resources.ranks "
                    "and resources.shard as they were"
                )
        named = {"training_version": "the training code", "model": "the model"}
        changed += [words for key, words in named.items() if before[key] != now[key]]
    if changed:
        raise ResultsError(
            f"results folder {uri!r} holds results of another version of {', '.join(dict.fromkeys(changed))} (its "
            "data, metrics, weights or code have changed since); they would be mixed. Nothing was changed. Choose "
            "another folder with --results, or another study name"
        )


def _listed(plan: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return list(plan["identities"]) if plan is not None else []


def _ranks(known: Mapping[str, Any], name: str) -> tuple[int, Literal["none", "full"]]:
    """How many ranks trained a method's trials, and how its models were divided."""
    return known["ranks"].get(name, 1), "full" if name in known["in_shards"] else "none"


def _worded(known: Mapping[str, Any], name: str) -> str:
    number, shard = _ranks(known, name)
    return f"on {number} ranks{' in shards' if shard == 'full' else ''}" if number > 1 else "on one rank"


@dataclass(frozen=True)
class Identifier:
    """Checks ids under every identity that the folder has seen; `study` is None where study.yaml is not sound."""

    study: Study | None
    identities: list[dict[str, Any]]

    @classmethod
    def of(cls, study: Study | None, plan: Mapping[str, Any] | None) -> "Identifier":
        """From what the folder holds."""
        return cls(study, _listed(plan))

    def check(self, row: Mapping[str, Any]) -> tuple[bool | None, str]:
        """Whether a row's trial_id follows from its contents; None, and why, where that cannot be told."""
        if self.study is None:
            return None, "study.yaml cannot be read here"
        reasons = [self._under(one, row, self.study) for one in self.identities]
        if row["trial_id"] in reasons:
            return True, ""
        unknown = [reason for reason in reasons if reason.startswith("?")]
        if unknown or not reasons:
            return None, unknown[0][1:] if unknown else "plan.json does not say what model and data were used"
        return False, f"its contents make {reasons[-1]}"

    def _under(self, known: dict[str, Any], row: Mapping[str, Any], study: Study) -> str:
        """The row's id under one identity, or `?` and why there is none."""
        try:
            version = method(row["method"]).version
            if known["training_version"] != TRAINING_VERSION or known["methods"].get(row["method"]) != version:
                return f"?made by another version of the training code or of method {row['method']}"
            if row["task"] not in known["tasks"]:
                return f"?plan.json does not say which revision of task {row['task']} was used"
            own, options = split_point(json.loads(row["hyperparameters"]))
            training, precision = tuned_training(study, options, "study"), row["precision"]
            if precision is None and training.precision == "fp32":
                return "?made before rows said their precision, when float32 that was asked for had ids of its own"
            ranks, shard = _ranks(known, row["method"])
            made = Trial(
                stage=row["stage"],
                method=row["method"],
                hyperparameters=own,
                task=Identity(row["task"], str(known["tasks"][row["task"]])),
                model=Identity(row["model"], str(known["model"])),
                fraction=row["fraction"],
                seeds=from_code(row["seed"]),
                budget=Budget(**json.loads(row["budget"])),
                training=training.model_copy(update={"precision": precision}) if precision else training,
                select=study.select,
                ranks=ranks,
                shard=shard,
            )
            return made.id
        except FinebenchError as error:
            return f"?{error}"
        except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"an error ({type(error).__name__})"
