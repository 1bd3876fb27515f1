"""A results folder as frames: trials, what was planned, what of it belongs to the study.

In: folders or URIs.
Out: frames, one row a trial.
May import: statistics, bench.util, bench.metrics, bench.study.parts, bench.study, bench.results.
Libraries: pandas, pyarrow.
"""
