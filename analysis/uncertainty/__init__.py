"""How sure: pairs of methods, sources of variance, tasks together, seeds that would settle it.

In: frames of runs and scores.
Out: frames with intervals and p-values.
May import: statistics, load, scores, bench.methods, bench.study.parts.
Libraries: pandas.
"""
