"""One method at a time: the selected configuration, its scores over seeds, its curves.

In: frames of runs.
Out: frames of scores.
May import: statistics, load, bench.study.
Libraries: pandas.
"""
