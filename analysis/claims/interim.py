"""A look at a study's claims while its seeds come in waves, for whoever decides which cells go on."""

from collections.abc import Collection

from finebench.analysis.claims.judge import judged, source_of
from finebench.analysis.claims.settling import without_verdict
from finebench.analysis.claims.standing import Standing, standing
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.bench.study.trial_id import CellKey


def look_at(results: str, looks: int) -> Standing:
    """Where the claims of a results folder stand after so many looks, whatever else the folder holds.

    Raises ResultsError where it cannot be read.
    """
    loaded = load_results(results)
    table = runs(loaded)
    expected = Expectation(loaded.plan, table)
    samples = Samples(loaded, table, expected)
    scored = scores(table, expected, samples)
    source = source_of(loaded.study, table, scored, samples, lambda: loaded.evals)
    found = judged(loaded.study, scored, source, looks)
    last = found.waves is not None and looks >= len(found.waves.levels.looks)
    never = without_verdict(loaded.study)
    return standing(found.verdicts, found.places, source, found.followed, last, never)


def needed_after(results: str, looks: int) -> tuple[Collection[CellKey], str]:
    """The cells that open claims need after so many looks, and where all claims stand, in words.

    Raises ResultsError where the folder cannot be read.
    """
    found = look_at(results, looks)
    return {(task, method, fraction, budget) for task, fraction, budget, method in found.cells}, found.words
