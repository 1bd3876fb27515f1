"""Statistics as functions of arrays with stated shapes: one idea a file, numpy and scipy only.

Each estimator returns an `Estimate`; what is undefined is NaN with the reason in `method`, never 0. What draws random
numbers takes a `numpy.random.Generator`. Every file names its source, and its test names an independent oracle.

    estimate.py   the named result
    mean.py       mean over seeds with Student's t interval
    location.py   median, interquartile mean
    spread.py     standard deviation, range
"""
