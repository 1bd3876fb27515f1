"""Figures, a file per idea: each is made from one frame, in a declarative grammar.

In: frames.
Out: charts.
May import: statistics, load, tables, bench.study.parts.
Libraries: altair, pandas.
"""
