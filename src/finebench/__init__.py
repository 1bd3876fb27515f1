"""finebench: which fine-tuning method, at what cost, and how sure are we?

    import finebench as fb

    study = fb.Study.from_yaml("quickstart")
    results = study.run("results/quickstart", progress=True)   # or fb.load("results/quickstart")
    results.claims_df()

What is asked for is imported when it is first asked for: `import finebench` itself stays cheap.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.__file__))  # not what lies beside the user's script under the same name
from importlib import import_module
from typing import TYPE_CHECKING, Any

from finebench.bench import __version__
from finebench.bench.util.own_python import libraries_first

sys.path.pop(0)

if TYPE_CHECKING:
    from finebench import keys
    from finebench._claim import Claim
    from finebench._plan import Plan
    from finebench._results import Results, load
    from finebench._study import Study
    from finebench.bench.methods import Method, MethodCost
    from finebench.bench.metrics._info import Metric
    from finebench.bench.tasks import Task
    from finebench.bench.util.errors import InputError

__all__ = [
    "Claim",
    "InputError",
    "Method",
    "MethodCost",
    "Metric",
    "Plan",
    "Results",
    "Study",
    "Task",
    "__version__",
    "keys",
    "load",
]

_HOMES = {
    "Claim": "finebench._claim",
    "Plan": "finebench._plan",
    "Results": "finebench._results",
    "Study": "finebench._study",
    "load": "finebench._results",
    "InputError": "finebench.bench.util.errors",
    "Method": "finebench.bench.methods",
    "MethodCost": "finebench.bench.methods",
    "Metric": "finebench.bench.metrics._info",
    "Task": "finebench.bench.tasks",
}


def __getattr__(name: str) -> Any:
    if name == "keys":
        return import_module("finebench.keys")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with libraries_first():
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
