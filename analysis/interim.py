"""A look at a study's claims while its seeds come in waves, for whoever decides which cells go on."""

from analysis.claims import judged
from analysis.load import load_results
from analysis.planned import Expectation
from analysis.runs import runs
from analysis.samples import Samples
from analysis.scores import scores
from analysis.standing import Standing, standing


def look_at(results: str, looks: int) -> Standing:
    """Where the claims of a results folder stand after so many looks, whatever else the folder holds.

    Raises ResultsError where it cannot be read.
    """
    loaded = load_results(results)
    table = runs(loaded)
    expected = Expectation(loaded.plan, table)
    samples = Samples(loaded, table, expected)
    found = judged(loaded, table, scores(table, expected, samples), samples, expected, looks)
    return standing(found.verdicts, found.places, found.source, set(found.followed))
