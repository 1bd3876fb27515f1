"""`study.plan()`: what would run, trial by trial, how long it takes, and what of it a results folder has already."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from finebench._flat import flat
from finebench._said import Said, counted, duration
from finebench.bench.driver.forecast import forecast
from finebench.bench.driver.validate import claim_folder
from finebench.bench.results.folder import KEPT, Done, ResultsFolder
from finebench.bench.results.scope import Scope
from finebench.bench.results.within import beyond, same, within
from finebench.bench.study import plan as planning
from finebench.bench.study.plugins import check_unchanged
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import CellKey
from finebench.bench.study.unsettled import sentence
from finebench.bench.study.waves import asked_of

Place = tuple[str, CellKey]
"""A stage and a cell."""


@dataclass(frozen=True, repr=False)
class Plan(Said):
    """What a study would run.

    `n_trials` in all, of which a results folder has `n_there` already (0 where none was named). Of seeds in waves those
    count that the folder's interim analyses have let come, as in `finebench status`; all where it has none. `seconds`
    that the rest takes on the `cores` of this machine, None where that cannot be told; `notes` say why, and what else
    there is to know. `no_verdict` has a dict for each reason why claims can get no verdict as planned: `claims`, `why`,
    and what to `set` for one. `waves`, None where the seeds do not come until claims are settled, has the `looks`, and
    `trials` and `seconds` where the first of them settles all (`fewest`) and where the last is needed (`most`).
    `on_slots`, None where it was not asked for, has the `slots`, the `machines` like this one that they are, the
    `seconds` of a simulated run of the whole study on them, the `bound` below which no order of trials gets, and the
    share of the slots' time that is training (`busy`).

    `cells` has a row per cell and stage: `stage` (grid, search or confirm), `task`, `method`, `fraction` (share of the
    data), `budget_…`, `trials`, `there` (those that are there), `configurations`; of one trial `steps`, `train_flops`
    and `seconds` on one core.
    """

    n_trials: int
    n_there: int
    seconds: float | None
    cores: float
    notes: tuple[str, ...]
    no_verdict: tuple[dict[str, Any], ...]
    waves: dict[str, Any] | None
    on_slots: dict[str, Any] | None
    cells: pd.DataFrame
    _list: Callable[[], list[dict[str, Any]]] = field(compare=False)

    def trials_df(self) -> pd.DataFrame:
        """One row per trial, in the order of `cells`.

        Columns: `stage`, `task`, `method`, `fraction` (share of the data), `budget_…`, `hp_…` (hyperparameters),
        `seed`; `seconds` expected on one core; `there`, whether the results folder has its result, with its `status`
        and `trial_id` where it has been run. A failed trial is not there: it runs again. What a search will try, and
        what a confirm stage will rerun, is not known before: those rows have neither `hp_…` nor `seed`.
        """
        return flat(pd.DataFrame(self._list(), columns=pd.Index(COLUMNS))).astype({"seed": "Int64"})

    def __str__(self) -> str:
        there = f", {self.n_there:,} of them there" if self.n_there else ""
        rest = " for the rest" if self.n_there else ""
        time = ""
        if self.seconds is not None and self.n_there < self.n_trials:
            time = f", about {duration(self.seconds)} on {counted(round(self.cores), 'core')}{rest}"
        n_cells = len(self.cells.drop(columns=["stage", *MEASURES]).drop_duplicates())
        head = f"{counted(self.n_trials, 'trial')} in {counted(n_cells, 'cell')}{there}{time}"
        return "\n".join([head, *self.notes, *map(_unsettled, self.no_verdict)])

    def _repr_html_(self) -> str:
        return super()._repr_html_() + str(self.cells.to_html(index=False, max_rows=20))


MEASURES = ("trials", "there", "configurations", "steps", "train_flops", "seconds")
"""Columns of `Plan.cells` that tell no cell from another."""

COLUMNS = (
    "stage", "task", "method", "fraction", "budget", "hyperparameters", "seed", "seconds", "there", "status",
    "trial_id",
)  # fmt: skip
"""Of `Plan.trials_df`, before it is made flat."""


def _unsettled(row: dict[str, Any]) -> str:
    """A reason why claims get no verdict, with what to write in the study."""
    settings = f"; for a verdict: {', '.join(row['set'])}" if row["set"] else ""
    return sentence(row | {"set": []}, []) + settings


def make_plan(study: Study, data: Path | None, results: str | None, slots: int | None) -> Plan:
    """The plan of a study; raises InputError where its model, data or the results folder cannot be used for it."""
    check_unchanged(study)
    found = forecast(study, data, slots)
    plan = planning.Plan(study)
    there = _there(study, plan, found["precision"], results)
    planned, waves = _planned(study, plan, results)
    cells, seconds = pd.DataFrame(found["per_cell"]), found["seconds"]
    keys = list(planned)  # in the order of `per_cell`
    cells["trials"] = list(planned.values())
    done = pd.Series([sum(map(_lasts, there.get(key, ()))) for key in keys])
    cells.insert(list(cells.columns).index("trials") + 1, "there", done.clip(upper=cells["trials"]))
    if seconds is not None:
        seconds = math.fsum(cells["seconds"] * (cells["trials"] - cells["there"])) / found["cores"]
    each = dict(zip(keys, cells["seconds"], strict=True))
    return Plan(
        n_trials=sum(planned.values()),
        n_there=int(cells["there"].sum()),
        seconds=seconds,
        cores=found["cores"],
        notes=(*found["notes"], *waves),
        no_verdict=tuple(found["no_verdict"]),
        on_slots=found["on_slots"],
        waves=found["waves"] and {key: found["waves"][key] for key in ("looks", "fewest", "most")},
        cells=flat(cells[["stage", *(column for column in cells if column != "stage")]]),
        _list=lambda: list(_rows(plan, planned, there, each)),
    )


def _planned(study: Study, plan: planning.Plan, results: str | None) -> tuple[dict[Place, int], list[str]]:
    """The number of trials of each stage and cell, in the order of `counts`; of seeds in waves those that have come by
    the folder's last look at these claims, with a note."""
    planned: dict[Place, int] = {(count.stage, count.cell.key): count.planned for count in plan.counts()}
    if study.waves is None:
        return planned, []
    stored = None if results is None else ResultsFolder(results).plan()
    asked = (list(study.waves.schedule), asked_of(study))
    if stored is None or [asked] != list(zip(stored["looks"], stored["asked"], strict=False))[-1:]:
        return planned, ["seeds come in waves: those after an interim analysis run only where it leaves a claim open"]
    keys = ("task", "method", "fraction", "budget")
    come = {(cell["stage"], tuple(cell[key] for key in keys)): cell["planned"] for cell in stored["cells"]}
    return {place: min(come.get(place, most), most) for place, most in planned.items()}, [
        "seeds come in waves: counted as far as the interim analyses have let them come; a further one may bring more"
    ]


def _lasts(one: Done) -> bool:
    """Whether a run would not run it again."""
    return one.status in (*KEPT, "pruned")


def _there(study: Study, plan: planning.Plan, precision: str | None, results: str | None) -> dict[Place, list[Done]]:
    """The study's trials that a results folder holds, by stage and cell, each once: a whole run before a pruned one."""
    if results is None:
        return {}
    folder = ResultsFolder(results)
    claim_folder(folder, study)
    stored = folder.plan()
    if stored is None:
        return {}
    now = precision or stored["precision"]
    done = folder.done({})
    mine = done if now is None else same(done, study.training.precision, now)[0]
    found: dict[Place, dict[str, Done]] = defaultdict(dict)
    for one in sorted(within(Scope(plan, beyond(stored)), mine).values(), key=lambda one: one.status == "pruned"):
        found[one.stage, one.cell].setdefault(one.trial_id, one)
    return {place: list(ones.values()) for place, ones in found.items()}


def _rows(
    plan: planning.Plan,
    planned: Mapping[Place, int],
    there: Mapping[Place, list[Done]],
    seconds: Mapping[Place, float | None],
) -> Iterator[dict[str, Any]]:
    for count in plan.counts():
        cell, place = count.cell, (count.stage, count.cell.key)
        head = dict(zip(("task", "method", "fraction", "budget"), cell.key, strict=True))
        head |= {"stage": count.stage, "seconds": seconds[place], "there": False}
        ran = there.get(place, [])
        if count.stage == "grid":
            known = {(one.configuration, one.seed): one for one in ran}
            points = [json.dumps(point, sort_keys=True) for point in plan.points(cell)]
            for seeds in list(plan.seeds(cell.fraction))[: planned[place] // count.configurations]:
                for point in points:
                    one = known.get((point, seeds.code))
                    yield head | {"hyperparameters": point, "seed": seeds.code} | (_ended(one) if one else {})
        else:
            yield from (head | _ended(one) for one in ran)
            yield from (head for _ in range(planned[place] - len(ran)))


def _ended(one: Done) -> dict[str, Any]:
    place = {"hyperparameters": one.configuration, "seed": one.seed}
    return place | {"there": _lasts(one), "status": one.status, "trial_id": one.trial_id}
