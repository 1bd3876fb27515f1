"""Nothing is collected while libraries are imported, and everything as before afterwards."""

import gc

import pytest

from finebench.bench.util.quick_imports import uncollected


def test_collection_rests_in_the_block_and_goes_on_after_it() -> None:
    frozen = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen


def test_it_goes_on_after_an_import_that_fails() -> None:
    with pytest.raises(ModuleNotFoundError), uncollected():
        __import__("no_such_module")
    assert gc.isenabled()


def test_where_the_collector_is_off_it_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
