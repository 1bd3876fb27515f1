"""Coverage-guided fuzzing with atheris (`pip install -e '.[fuzz]'`), beginning with tests/fuzz/corpus/NAME.

python -m tests.fuzz.run study -max_total_time=300
python -m tests.fuzz.run results -max_total_time=300

Options are libFuzzer's. Where no folders are named, inputs that reach new code are kept in a temporary one; what
crashes or is slow goes to a temporary folder too, unless `-artifact_prefix` says otherwise. Both are named at the
start. What is worth keeping is found by merging: the first folder gets the smallest set that covers all that the
others do.

python -m tests.fuzz.run study -set_cover_merge=1 /tmp/kept tests/fuzz/corpus/study /tmp/finebench-fuzz-…
"""

import shlex
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bench", "analysis", "ruamel"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def arguments(name: str, given: list[str]) -> list[str]:
    """libFuzzer's arguments: nothing is written into the working tree unless asked for."""
    made = ["-print_final_stats=1"]
    if not any(one.startswith("-artifact_prefix=") for one in given):
        made.append(f"-artifact_prefix={tempfile.mkdtemp(prefix='finebench-slow-or-crash-')}/")
    folders = [one for one in given if not one.startswith("-")]
    if not folders:
        folders = [tempfile.mkdtemp(prefix="finebench-fuzz-"), str(CORPUS / name)]  # new inputs go to the first one
    return [*made, *(one for one in given if one.startswith("-")), *folders]


def launcher(name: str) -> str:
    """A program that does what this module does: a merge runs itself again and again, by the name of its program."""
    path = Path(tempfile.mkdtemp(prefix="finebench-fuzz-program-")) / name
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tests.fuzz.run {name} "$@"\n')
    path.chmod(0o755)
    return str(path)


if __name__ == "__main__":
    name = sys.argv[1]
    options = arguments(name, sys.argv[2:])
    print(" ".join(options), flush=True)
    atheris.Setup([launcher(name), *options], TARGETS[name])
    atheris.Fuzz()
