"""The names of `import finebench`: the ones of the rooms, imported when they are asked for."""

import subprocess
import sys

import pytest

import finebench as fb
from finebench.bench.methods import Method, MethodCost
from finebench.bench.metrics._info import Metric
from finebench.bench.tasks import Task
from finebench.bench.util.errors import InputError


def test_names_are_those_of_the_rooms() -> None:
    assert fb.Method is Method
    assert fb.MethodCost is MethodCost
    assert fb.Metric is Metric
    assert fb.Task is Task
    assert fb.InputError is InputError


def test_every_name_is_there_and_listed() -> None:
    for name in fb.__all__:
        assert getattr(fb, name) is not None
        assert name in dir(fb)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'finebench' has no attribute 'Methud'"):
        fb.Methud  # noqa: B018


def test_import_is_cheap() -> None:
    heavy = ("torch", "ray", "pandas", "numpy", "pydantic", "transformers", "pyarrow")
    code = f"import sys, finebench; dir(finebench); print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
