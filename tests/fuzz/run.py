"""Coverage-guided fuzzing with atheris; not a test. New inputs that reach new code are kept in the folder named last.

python -m tests.fuzz.run study   -max_total_time=300 /tmp/found tests/fuzz/corpus/study
python -m tests.fuzz.run results -max_total_time=300 /tmp/found tests/fuzz/corpus/results
"""

import sys

import atheris

with atheris.instrument_imports(include=["bench", "analysis", "ruamel"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
