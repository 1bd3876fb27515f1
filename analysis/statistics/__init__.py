"""Statistics as functions of arrays with stated shapes: one idea a file, numpy and scipy only.

Each estimator returns an `Estimate`; what is undefined is NaN with the reason in `method`, never 0. What draws random
numbers takes a `numpy.random.Generator`. Every file names its source, and its test names an independent oracle.

    estimate.py           the named result
    design.py             how seeds stand to each other: independent, or crossed
    mean.py               mean over seeds with Student's t interval
    location.py           median, interquartile mean
    spread.py             standard deviation, range
    sample.py             scores over seeds with their predictions; pairs of two samples
    unit.py               a mean over runs as what differences are shares of
    resample.py           how often each example is drawn in each replicate
    crossed.py            interval of a mean over seeds and examples, of several tasks by seed
    reselect.py           the choice of a configuration as part of that interval
    paired.py             one method's score less another's
    effect.py             a paired difference in standard deviations of a pair
    superiority.py        P(A > B) and its verdict
    stochastic_order.py   almost stochastic order
    proportion.py         a share of runs, with its test
    aggregates.py         methods over several tasks
    ranks.py              Friedman's test, critical difference
    holm.py               correction for several tests
    shares.py             variance components
    best_of.py            expected best of n tries
    agreement.py          predictions of two seeds, example by example
    power.py              seeds that would settle a claim
    located.py, welch.py, spread_ratio.py, ratio.py    what claims test: means, spreads, ratios
    pareto.py, saturation.py, root.py                  fronts, reach of a fraction, crossing points

In: arrays.
Out: estimates, with intervals and p-values.
May import: nothing.
Libraries: scipy.
"""
