"""The process in which a tracker runs (`python -m finebench.bench.driver.logger_child NAME STUDY RESULTS`), started by
bench.driver.loggers.

It takes the tracker's plugin, if it comes from one, says whether it can log, and then takes trials. All of these come
on standard input as a length in 8 bytes and that many bytes, of JSON and then of Arrow. Each trial is answered by a
line of JSON: null, or why it could not be logged. Whatever the tracker itself prints goes nowhere.
"""

import json
import os
import sys
from typing import IO

from finebench.bench.driver.trackers import tracker
from finebench.bench.results.record import Record
from finebench.bench.util.doors import Plugin, load_plugin


def main() -> None:
    """Say whether the tracker can log, then log what comes; ends with its input."""
    answers = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    trials = os.fdopen(os.dup(0), "rb")
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    name, study, folder = sys.argv[1:]
    try:
        for one in json.loads(trials.read(int.from_bytes(trials.read(8), "big"))):
            load_plugin(Plugin(*one))
        made = tracker(name)(study, folder)
    except Exception as error:  # trackers raise many kinds
        _say(answers, error)
        return
    _say(answers, None)
    while size := trials.read(8):
        record = Record.decode(trials.read(int.from_bytes(size, "big")))
        try:
            made.log(record)
        except Exception as error:  # many kinds again, and none may end a sweep
            _say(answers, error)
        else:
            _say(answers, None)


def _say(answers: IO[str], error: Exception | None) -> None:
    text = None if error is None else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    print(json.dumps(text), file=answers, flush=True)


if __name__ == "__main__":
    main()
