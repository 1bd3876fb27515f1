"""Two results folders, cell by cell.

In: two folders.
Out: what changed, and whether by more than noise.
May import: statistics, load, scores, tables, figures, report, bench.util.
Libraries: pandas.
"""
