"""One method at a time: the selected configuration, its scores over seeds, its curves.

In: frames of runs.
Out: frames of scores.
May import: statistics, load, bench.metrics, bench.study.parts, bench.study.
Libraries: pandas.
"""
