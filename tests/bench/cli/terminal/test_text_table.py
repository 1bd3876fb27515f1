"""Tables, `status` and `plan` stay readable in any window and piped: nothing is cut to width 0, nothing is lost."""

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from finebench.bench.cli import show
from finebench.bench.cli.show import print_plan, print_status
from finebench.bench.cli.terminal.text_table import print_table
from finebench.bench.driver import forecast as forecasts

COLUMNS = ["task", "method", "fraction", "planned", "ok", "error", "running", "pending"]
ROWS = [
    ["mini-cola", "full", "0.3", "1,200", "1,180", "3", "4", "13"],
    ["customer-complaints-by-product-2024", "peft:LORA", "1", "12", "0", "0", "0", "12"],
]


def window(width: int | None) -> Console:
    """A terminal of so many columns, or a pipe."""
    return Console(
        file=io.StringIO(), width=width or 120, force_terminal=width is not None, color_system=None, markup=False
    )


def text(console: Console) -> str:
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def printed(width: int | None, rows: list[list[str]] = ROWS) -> str:
    """The table in a window of so many columns, or piped."""
    console = window(width)
    print_table(console, COLUMNS, rows, (0, 1))
    return text(console)


@pytest.mark.parametrize("width", range(20, 130, 7))
def test_no_line_is_wider_than_the_window_and_no_value_is_lost(width: int) -> None:
    found = printed(width)
    assert max(map(cell_len, found.splitlines())) <= width
    squeezed = "".join(found.split())
    for value in [*COLUMNS[2:], *(number for row in ROWS for number in row[2:])]:
        assert value in squeezed


def test_piped_a_row_is_a_line_however_long() -> None:
    lines = printed(None, [ROWS[0], ["x" * 200, *ROWS[1][1:]]]).splitlines()
    assert len(lines) == 3
    assert lines[2].split() == ["x" * 200, *ROWS[1][1:]]


def test_a_wide_character_takes_two_columns() -> None:
    first, second = printed(None, [["任务", *ROWS[0][1:]], ["task", *ROWS[1][1:]]]).splitlines()[1:]
    assert cell_len(first) == cell_len(second)


CELL: dict[str, Any] = dict.fromkeys(("planned", "ok", "pruned", "diverged", "oom", "timeout", "error"), 0)
CELL |= {"running": 0, "pending": 0, "budget": '{"steps": 80}', "fraction": 1.0}
CELLS = [
    CELL | {"task": "mini-cola", "method": "full", "planned": 12, "ok": 9, "running": 1, "pending": 2},
    CELL | {"task": "mini-cola", "method": "peft:ADALORA", "fraction": 0.3, "planned": 12, "oom": 4, "pending": 8},
    CELL | {"task": "customer-complaints-by-product", "method": "full", "planned": 1200, "ok": 1200,
            "budget": '{"epochs": 3.0, "min_steps": 200}'},
]  # fmt: skip
STATUS = {key: sum(cell[key] for cell in CELLS) for key in CELL if key not in ("budget", "fraction")}
STATUS |= {"study": "x", "cells": CELLS, "other_precision": 0, "notes": ["a note"], "damaged": []}

METHOD = {"configurations": 3, "trials": 1200, "total_params": 109_483_778, "head_params": 1538, "seconds": 7.2e6}
PLAN: dict[str, Any] = {
    "waves": None, "on_slots": None,
    "study": "x", "trials": 2400, "cells": 12, "model": "google-bert/bert-base-uncased", "cores": 2.0,
    "tasks": {"mini-mrpc": {
        "train_rows": 99, "score_rows": 50, "classes": ["unlike", "alike"], "train_counts": [60, 39],
        "score_counts": [30, 20], "positive": None, "notes": ["2 rows stand there twice"],
    }},
    "methods": [
        METHOD | {"name": "full", "trainable_params": 109_483_778, "train_flops": 6.75e16},
        METHOD | {"name": "bottleneck-of-our-own", "trainable_params": None, "train_flops": None, "seconds": None},
    ],
    "train_flops": None, "seconds": None, "notes": ["a note"], "no_verdict": [],
}  # fmt: skip


def status_in(width: int | None, monkeypatch: pytest.MonkeyPatch) -> str:
    console = window(width)
    monkeypatch.setattr(show, "make_console", lambda: console)
    monkeypatch.setattr(show, "status", lambda results: STATUS)
    print_status("results/x", watch=False, as_json=False)
    return text(console)


def plan_in(width: int | None, monkeypatch: pytest.MonkeyPatch) -> str:
    console = window(width)
    monkeypatch.setattr(show, "make_console", lambda: console)
    monkeypatch.setattr(forecasts, "forecast", lambda study, data, slots: PLAN)
    print_plan("quickstart", [], None, None, [], [], None, None, as_json=False)
    return text(console)


STATUS_80_COLUMNS = """\
1,224 planned, 1,209 ok, 0 pruned, 0 diverged, 4 oom, 0 timeout, 0 error, 1 
running, 10 pending
mini-cola · full · 1 · steps 80
  planned 12, ok 9, oom 0, running 1, pending 2
mini-cola · peft:ADALORA · 0.3 · steps 80
  planned 12, ok 0, oom 4, running 0, pending 8
customer-complaints-by-product · full · 1 · epochs 3, min_steps 200
  planned 1,200, ok 1,200, oom 0, running 0, pending 0
note: a note
"""

STATUS_60_COLUMNS = """\
1,224 planned, 1,209 ok, 0 pruned, 0 diverged, 4 oom, 0 
timeout, 0 error, 1 running, 10 pending
mini-cola · full · 1 · steps 80
  planned 12, ok 9, oom 0, running 1, pending 2
mini-cola · peft:ADALORA · 0.3 · steps 80
  planned 12, ok 0, oom 4, running 0, pending 8
customer-complaints-by-product · full · 1 · epochs 3,
min_steps 200
  planned 1,200, ok 1,200, oom 0, running 0, pending 0
note: a note
"""

STATUS_PIPED = """\
1,224 planned, 1,209 ok, 0 pruned, 0 diverged, 4 oom, 0 timeout, 0 error, 1 running, 10 pending
task                            method        fraction  budget                   planned     ok  oom  running  pending
mini-cola                       full          1         steps 80                      12      9    0        1        2
mini-cola                       peft:ADALORA  0.3       steps 80                      12      0    4        0        8
customer-complaints-by-product  full          1         epochs 3, min_steps 200    1,200  1,200    0        0        0
note: a note
"""

PLAN_80_COLUMNS = """\
x: 2,400 trials in 12 cells, model google-bert/bert-base-uncased
mini-mrpc: 99 rows to train on, 50 to score on; 2 classes (train + score): 
unlike 60 + 30, alike 39 + 20
mini-mrpc: 2 rows stand there twice
tuning budget per method, in parameters trained, of them in the head, and in all
method          settings trials     trained  head       total    FLOPs core time
full                   3  1,200 109,483,778 1,538 109,483,778 6.75e+16  2000.0 h
bottleneck-of-o        3  1,200           ? 1,538 109,483,778        ?         ?
ur-own
FLOPs ?; time unknown on 2 cores here
note: a note
"""

PLAN_60_COLUMNS = """\
x: 2,400 trials in 12 cells, model 
google-bert/bert-base-uncased
mini-mrpc: 99 rows to train on, 50 to score on; 2 classes 
(train + score): unlike 60 + 30, alike 39 + 20
mini-mrpc: 2 rows stand there twice
tuning budget per method, in parameters trained, of them in 
the head, and in all
full
  settings 3, trials 1,200, trained 109,483,778, head 1,538,
  total 109,483,778, FLOPs 6.75e+16, core time 2000.0 h
bottleneck-of-our-own
  settings 3, trials 1,200, trained ?, head 1,538, total
  109,483,778, FLOPs ?, core time ?
FLOPs ?; time unknown on 2 cores here
note: a note
"""

PLAN_PIPED = """\
x: 2,400 trials in 12 cells, model google-bert/bert-base-uncased
mini-mrpc: 99 rows to train on, 50 to score on; 2 classes (train + score): unlike 60 + 30, alike 39 + 20
mini-mrpc: 2 rows stand there twice
tuning budget per method, in parameters trained, of them in the head, and in all
method                 settings  trials      trained   head        total     FLOPs  core time
full                          3   1,200  109,483,778  1,538  109,483,778  6.75e+16   2000.0 h
bottleneck-of-our-own         3   1,200            ?  1,538  109,483,778         ?          ?
FLOPs ?; time unknown on 2 cores here
note: a note
"""


@pytest.mark.parametrize(("width", "looks"), [(80, STATUS_80_COLUMNS), (60, STATUS_60_COLUMNS), (None, STATUS_PIPED)])
def test_status_looks_as_it_did(width: int | None, looks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_in(width, monkeypatch) == looks


@pytest.mark.parametrize(("width", "looks"), [(80, PLAN_80_COLUMNS), (60, PLAN_60_COLUMNS), (None, PLAN_PIPED)])
def test_plan_looks_as_it_did(width: int | None, looks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_in(width, monkeypatch) == looks
