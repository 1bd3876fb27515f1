"""The report: which sentences, tables and figures, in which order, in which files.

In: a results folder.
Out: RESULTS/report.
May import: statistics, load, scores, uncertainty, costs, claims, tables, figures, bench.util, bench.data,
bench.results.
Libraries: altair, jinja2, pandas.
"""
