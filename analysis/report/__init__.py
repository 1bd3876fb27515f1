"""The report: which sentences, tables and figures, in which order, in which files.

In: a results folder.
Out: RESULTS/report.
May import: TODO.
"""
