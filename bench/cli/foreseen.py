"""What `plan` tells of seeds that come until claims are settled: fewest, expected and most trials, hours and price, and
the chance of a verdict by each look."""

from typing import Any

from rich.console import Console

from finebench.bench.cli.terminal.console import say
from finebench.bench.cli.terminal.text_table import hours, print_table
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import StudyError

SIZES = ("fewest", "expected", "most")


def expected(study: Study, found: dict[str, Any], expect: list[str], price_per_hour: float | None) -> dict[str, Any]:
    """A forecast with what is expected of the waves of its study, and with prices.

    Raises StudyError where something is expected of a study whose seeds do not come in waves, InputError where it
    cannot be read.
    """
    waves, on_slots = found["waves"], found["on_slots"]
    if on_slots is not None:
        price = _price(on_slots["seconds"] * on_slots["machines"], price_per_hour)
        found = found | {"on_slots": on_slots | {"price": price}}
    if waves is None:
        if expect:
            raise StudyError(
                "--expect is for seeds that come until claims are settled: seeds: {most: 30, until: settled}"
            )
        return found | {"price": _price(found["seconds"], price_per_hour)}
    if expect:
        from finebench.analysis.claims.expectations import expectations
        from finebench.analysis.claims.foreseen import foresee

        trained = {row["name"]: row["trainable_params"] for row in found["methods"]}
        known = None not in trained.values()
        reference = min(trained, key=lambda name: (-trained[name], name)) if known else None
        made = foresee(study, expectations(study, expect), found["per_cell"], reference)
        claims = made.pop("claims")
        seconds = {key: None if made[key] is None else made[key] / found["cores"] for key in made if "seconds" in key}
        waves = waves | {"expected": made | seconds, "claims": claims}
    for size in SIZES:
        row = waves[size]
        if row is not None:
            ends = {f"price{end}": _price(row[f"seconds{end}"], price_per_hour)
                    for end in ("", "_low", "_high") if f"seconds{end}" in row}  # fmt: skip
            waves = waves | {size: row | ends}
    return found | {"price": waves["most"]["price"], "waves": waves}


def _price(seconds: float | None, price_per_hour: float | None) -> float | None:
    return None if seconds is None or price_per_hour is None else seconds / 3600 * price_per_hour


def print_on_slots(console: Console, found: dict[str, Any]) -> None:
    """What a run takes on the slots that were asked for; nothing where none were."""
    one = found["on_slots"]
    if one is None:
        return
    slots = "1 slot" if one["slots"] == 1 else f"{one['slots']:,} slots"
    these = f"{one['machines']:,} machines" if one["machines"] > 1 else "a machine"
    say(console, f"on {slots}, {these} of {found['cores']:g} cores like these:")
    price = "" if one["price"] is None else f", price {_money(one['price'])}"
    say(console, f"  {hours(one['seconds'])}{price}; {one['busy']:.0%} of the slots' time is training")
    say(console, f"  in any order at least {hours(one['bound'])}; simulated in the order of a run")


def print_waves(console: Console, found: dict[str, Any]) -> None:
    """The tables of seeds until settled; nothing of other studies, but a price where one is asked for."""
    waves = found["waves"]
    if waves is None:
        if found["price"] is not None:
            say(console, f"price {found['price']:,.2f}")
        return
    say(console, f"seeds until settled: interim analyses at {', '.join(map(str, waves['looks']))} seeds")
    rows = []
    for size in SIZES:
        row = waves[size]
        if row is None:
            rows.append([size, "?", "?", "?"])
            continue
        cells = [f"{row['trials']:,.0f}", hours(row["seconds"]), _money(row["price"])]
        if "trials_low" in row:
            ends = [(row[f"{key}_low"], row[f"{key}_high"]) for key in ("trials", "seconds", "price")]
            told = [f"{low:,.0f} to {high:,.0f}" for low, high in ends[:1]]
            told += ["" if low is None else f"{hours(low)} to {hours(high)}" for low, high in ends[1:2]]
            told += ["" if low is None else f"{_money(low)} to {_money(high)}" for low, high in ends[2:]]
            cells = [f"{one} ({end})" if end else one for one, end in zip(cells, told, strict=True)]
        rows.append([size, *cells])
    priced = found["price"] is not None
    columns = ["", "trials", f"time on {found['cores']:g} cores", "price"][: 4 if priced else 3]
    print_table(console, columns, [row[: len(columns)] for row in rows])
    if waves["expected"] is None:
        say(
            console,
            "what is expected, and the chance of a verdict: --expect RESULTS (a pilot's), or --expect EFFECT,SD",
        )
        return
    _print_chances(console, waves)


def _print_chances(console: Console, waves: dict[str, Any]) -> None:
    rows, notes = [], []
    for one in waves["claims"]:
        if one["why"] is not None:
            notes.append(f"{one['id']} is counted up to the last interim analysis: {one['why']}")
            continue
        last = one["verdict_by_look"][-1]
        ends = "" if one["verdict_low"] is None else f" ({one['verdict_low']:.0%} to {one['verdict_high']:.0%})"
        by = [f"{chance:.0%}" for chance in one["verdict_by_look"][:-1]]
        rows.append([one["id"], *by, f"{last:.0%}{ends}", f"{one['supported']:.0%}", f"{one['seeds']:.1f}"])
        notes += [f"{one['id']} on {task['task']}: {_taken(task)}" for task in one["expected"]]
    if rows:
        say(console, "chance of a verdict by each interim analysis, of support in the end, and seeds used on average")
        print_table(console, ["claim", *map(str, waves["looks"]), "supported", "seeds"], rows)
    for note in notes:
        say(console, f"expected: {note}")
    if any("trials_low" in (waves[size] or {}) for size in SIZES):
        say(console, "in brackets: the middle 80 % of what the pilot does not exclude")


def _taken(task: dict[str, Any]) -> str:
    effect, sd = (
        f"{task[key]:.3g}"
        + ("" if task[f"{key}_low"] is None else f" ({task[f'{key}_low']:.3g} to {task[f'{key}_high']:.3g})")
        for key in ("effect", "sd")
    )
    return f"difference {effect}, standard deviation of a pair {sd}"


def _money(price: float | None) -> str:
    return "?" if price is None else f"{price:,.2f}"
