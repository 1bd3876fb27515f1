"""`finebench merge`: the trials of several results folders of one study in one folder, each of them once.

    joined = join(["shard-1", "s3://bucket/shard-2"], into="whole", note=print)

All is compared before anything is written: folders of different studies, data, weights or precisions, a trial with two
results, a cell that two folders have searched differently are refused. Of a trial that failed in one folder and has a
result in another, the result is taken. Each folder is copied as a run writes: deltas first, the rows of `trials` last.
A merge that is killed has copied some of the folders; the next one goes on, and what it had copied without its row
stands there twice until the tables are compacted, at the end.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.driver.copy_trials import copy_deltas, copy_trials
from finebench.bench.driver.validate import model_place
from finebench.bench.results.folder import KEPT, ResultsFolder
from finebench.bench.results.lock import claim, live_owner
from finebench.bench.results.merge import compact
from finebench.bench.results.recompute_id import check_identity, extended
from finebench.bench.results.record import record_name
from finebench.bench.results.verify import SCIENCE
from finebench.bench.scheduling.calibration import FILE as CALIBRATION
from finebench.bench.scheduling.suggestions import FOLDER as SEARCH
from finebench.bench.study.load import build_study
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import InputError, ResultsError
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml

MACHINE = ("resources", "trial_timeout", "retries")
"""What of a study, and of a method's space, is its machine's and may differ: no result rests on it."""

FOLDER = "sha256:"
"""How the revision of a model begins that lies in a folder (bench.models.hub)."""

SHOWN = 5
"""Contradictions that a message names."""

Row = dict[str, Any]


@dataclass(frozen=True)
class ReadFolder:
    """One folder as it was read: `text` is its study.yaml, `rows` has its whole trials by record name."""

    folder: ResultsFolder
    text: bytes
    study: Study
    plan: dict[str, Any]
    rows: dict[str, Row]
    documents: dict[str, Any]
    """Its suggestions and its calibration, by file name."""

    @property
    def uri(self) -> str:
        """What messages call it."""
        return self.folder.uri


@dataclass(frozen=True)
class Joined:
    """How many trials were copied from each folder, and how many there are now."""

    copied: dict[str, int]
    trials: int


def join(sources: Sequence[str], into: str, note: Callable[[str], None] = lambda text: None) -> Joined:
    """Merge folders (paths or URIs) into one, which may hold trials of the study already; raises InputError where they
    cannot be merged, and then has written nothing."""
    target, given = ResultsFolder(into), [ResultsFolder(one) for one in sources]
    _check_different([*given, target])
    found = [_read(one, note) for one in given]
    _check_alike(found)
    _choose(found)
    _documents(found)
    target.create()
    with claim(target, note):
        there = _read(target, note, new=found[0])
        every = [there, *found]
        _check_alike(every)
        chosen = _choose(every)
        documents = _documents(every)
        _write_documents(there, every, documents)
        copied = {one.uri: _copy(one, there, chosen) for one in found}
        if any(copied.values()):
            compact(target)
        _write_plan(there, every, done=True)
    return Joined(copied, len(chosen))


def _check_different(folders: Sequence[ResultsFolder]) -> None:
    seen = set[tuple[str, str, str]]()
    for one in folders:
        if one.place in seen:
            raise InputError(
                f"results folder {one.uri!r} is named twice; give each one once, and another one to --into"
            )
        seen.add(one.place)


def _read(folder: ResultsFolder, note: Callable[[str], None], new: ReadFolder | None = None) -> ReadFolder:
    """Read a folder, every byte of its tables; `new` is what one that holds no study yet will hold."""
    text, plan = folder.read_bytes("study.yaml", MAX_BYTES), folder.plan()
    if new is not None and text is None and plan is None:
        text, plan = new.text, new.plan | {"shards": [], "copying": []}
    if new is not None and plan is None:
        plan = new.plan | {"shards": [], "copying": []}
    if text is None or plan is None:
        lacks = "plan.json" if text else "study.yaml"
        raise ResultsError(f"results folder {folder.uri!r} does not exist or holds no study (no {lacks})")
    if new is None and live_owner(folder) is not None:
        note(f"{folder.uri} is still being run: merge again once it has ended")
    where = folder.shown("study.yaml")
    study = build_study(parse_yaml(text.decode("utf-8", errors="replace"), where), where, Path("."))
    stock = folder.read_stock()
    if stock.damaged:
        why = next(iter(stock.damaged.values()))
        raise ResultsError(f"{why}; `finebench run` into {folder.uri} sets it aside and runs its trials again")
    for one in stock.incomplete:
        note(f"{folder.uri}: trial {one}: its evaluations or predictions are gone; it is not copied")
    whole = {one.record for one in stock.done.values()}
    columns = ["trial_id", *SCIENCE]
    rows = [row for rows in folder.finished(columns=columns) for row in rows.to_pylist()]
    named = {record_name(row["trial_id"], row["status"]): row for row in rows}
    names = [name for name in folder.files(SEARCH, recursive=True) if name.endswith(".json")]
    documents = {f"{SEARCH}/{name}": folder.read_json(f"{SEARCH}/{name}") for name in names}
    documents[CALIBRATION] = folder.read_json(CALIBRATION) or {}
    return ReadFolder(folder, text, study, plan, {k: row for k, row in named.items() if k in whole}, documents)


def _check_alike(sources: Sequence[ReadFolder]) -> None:
    """Raise ResultsError where two folders do not hold the same study on the same data, model and precision."""
    first = sources[0]
    for one in sources[1:]:
        there, here = _asked(first), _asked(one)
        different = [key for key in there if there[key] != here[key] and FOLDER not in (there[key], here[key])]
        if different:
            said = "; ".join(f"{key}: {_short(there[key])} there, {_short(here[key])} here" for key in different)
            raise ResultsError(f"{first.uri} (there) and {one.uri} (here) hold different studies: {said}")
        for known in one.plan["identities"]:
            try:
                check_identity(first.uri, first.plan, known)
            except ResultsError as error:
                raise ResultsError(f"{one.uri} cannot be merged with {first.uri}: {error}") from error
        if first.plan["precision"] != one.plan["precision"]:
            raise ResultsError(
                f"{first.uri} was trained in {first.plan['precision']} and {one.uri} in {one.plan['precision']}: their "
                "scores are never put together; set training.precision"
            )
    if first.study.waves is not None:
        raise ResultsError(
            f"{first.uri}: seeds until settled are counted by the looks that one folder has had at them; it cannot be "
            "merged into another"
        )


def _asked(source: ReadFolder) -> dict[str, Any]:
    """A study without what is its machine's, which is also where the user's files and a model's folder lie: what is in
    them `check_identity` compares."""
    study = source.study
    raw = study.model_dump(mode="json", exclude=set(MACHINE)) | {"model": model_place(study.model)}
    if any(known["model"].startswith(FOLDER) for known in source.plan["identities"]):
        raw["model"] = FOLDER
    for task in raw["tasks"]:
        if not isinstance(task, str) and "hub" not in task["data"]:
            paths = [key for key in ("train", "validation", "file") if isinstance(task["data"].get(key), str)]
            task["data"] |= dict.fromkeys(paths, "a file")
    raw["methods"] = {
        name: {key: value for key, value in space.items() if key not in MACHINE}
        for name, space in raw["methods"].items()
    }
    return raw


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _choose(sources: Sequence[ReadFolder]) -> dict[str, ReadFolder]:
    """Which folder each record comes from; raises ResultsError where two results of one differ."""
    chosen: dict[str, ReadFolder] = {}
    clashes: list[str] = []
    for source in sources:
        for record, row in source.rows.items():
            before = chosen.setdefault(record, source)
            if before is source:
                continue
            other = before.rows[record]
            if row["status"] in (*KEPT, "pruned") and other["status"] in (*KEPT, "pruned"):
                apart = [key for key in SCIENCE if not _equal(other[key], row[key])]
                if apart:
                    key = apart[0]
                    clashes.append(f"trial {record}: {key} {other[key]} in {before.uri}, {row[key]} in {source.uri}")
            elif row["status"] in KEPT:
                chosen[record] = source
    if clashes:
        more = f" (and {len(clashes) - SHOWN} more)" if len(clashes) > SHOWN else ""
        raise ResultsError(
            f"the folders contradict each other; nothing was changed. {'; '.join(clashes[:SHOWN])}{more}. The same "
            "trial was trained twice, by machines or versions that do not agree: leave out one of the folders"
        )
    return chosen


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


def _documents(sources: Sequence[ReadFolder]) -> dict[str, Any]:
    """All suggestions and one calibration; raises ResultsError where two folders say different things."""
    found: dict[str, tuple[ReadFolder, Any]] = {}
    calibration: dict[str, Any] = {}
    for source in sources:
        for name, value in source.documents.items():
            if name == CALIBRATION:
                _calibrate(calibration, value, source)
                continue
            before, same = found.setdefault(name, (source, value))
            if same != value:
                cell = name.split("/")[1]
                raise ResultsError(
                    f"{before.uri} and {source.uri} have both searched the cell {cell}, and tried other "
                    "configurations; nothing was changed. A search belongs to one folder: leave out one of the two"
                )
    documents = {name: value for name, (_, value) in found.items()}
    return documents | ({CALIBRATION: calibration} if calibration else {})


def _calibrate(into: dict[str, Any], more: Mapping[str, Any], source: ReadFolder) -> None:
    """Take in a calibration: of what was measured in two folders, the first one's counts. Speeds decide how many steps
    a seconds budget has: two of one shape are refused."""
    speeds, known = more.get("steps_per_second", {}), into.get("steps_per_second", {})
    if any(speeds[key] != known[key] for key in speeds.keys() & known.keys()):
        raise ResultsError(
            f"{source.uri}: its budget of seconds was measured as another number of steps than in the folders before "
            "it; nothing was changed. Trials of the two are not of one budget"
        )
    for key, value in more.items():
        into[key] = value | (into.get(key) or {}) if isinstance(value, dict) else into.get(key) or value


def _write_documents(there: ReadFolder, every: Sequence[ReadFolder], documents: Mapping[str, Any]) -> None:
    """The folder says what it holds before it holds any of it."""
    folder = there.folder
    if folder.read_bytes("study.yaml", MAX_BYTES) is None:
        folder.write_bytes("study.yaml", there.text)
    _write_plan(there, every, done=False)
    for name, value in documents.items():
        if there.documents.get(name) != value:
            folder.write_json(name, value)


def _write_plan(there: ReadFolder, every: Sequence[ReadFolder], done: bool) -> None:
    """plan.json for all folders together: of shards that are all there, once it is `done`, nothing is said any more."""
    plan = dict(there.plan)
    for one in every:
        for known in one.plan["identities"]:
            plan["identities"] = extended(plan, known)
        plan["tasks"] = one.plan["tasks"] | plan["tasks"]
        plan["parallel"] = one.plan["parallel"] | plan["parallel"]
    beyond = [{key: set(cell["beyond"]) for key, cell in _cells(one.plan).items()} for one in every]
    for key, cell in _cells(plan).items():
        cell["beyond"] = sorted(set[str]().union(*(one[key] for one in beyond)))
    told = [one.plan for one in every if one is not there or there.rows]
    copied = [one for one in told if done or one is there.plan]
    plan["shards"], plan["copying"] = _shards(told, copied)
    plan["trials"] = sum(cell["planned"] for cell in plan["cells"])
    there.folder.write_json("plan.json", plan)


def _cells(plan: Mapping[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = ("task", "method", "fraction", "budget", "stage")
    return {tuple(cell[key] for key in keys): cell for cell in plan["cells"]}


def _shards(plans: Sequence[Mapping[str, Any]], copied: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The shards of all folders, and those of them that `copied` do not hold whole: a merge that is killed leaves them,
    and the next one may be of other folders. None where one of these was run whole, or all shards are there."""
    listed = {shard for one in plans for shard in one["shards"]}
    here = {shard for one in copied for shard in one["shards"] if shard not in one["copying"]}
    whole = not all(one["shards"] for one in copied)
    if whole or any(n == int(of) for of, n in Counter(shard.partition("/")[2] for shard in here).items()):
        return [], []
    ordered = sorted(listed, key=lambda shard: [int(part) for part in shard.split("/")[::-1]])
    return ordered, [shard for shard in ordered if shard not in here]


def _copy(source: ReadFolder, there: ReadFolder, chosen: Mapping[str, ReadFolder]) -> int:
    """Copy what is wanted of one folder; returns the number of trials copied. A delta that only this folder has comes
    along, whichever folder the trial is from: it is the same trial."""
    copy_deltas(source.folder, there.folder, {one for one, of in chosen.items() if of.rows[one]["status"] in KEPT})
    wanted = {record for record, one in chosen.items() if one is source}
    copy_trials(source.folder, there.folder, wanted)
    return len(wanted)
