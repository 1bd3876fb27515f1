"""Verdicts on a study's claims, with their error rates held over all of them.

In: a study's claims and its runs.
Out: verdicts, claims.json.
May import: statistics, load, scores, uncertainty, bench.util, bench.study.parts, bench.study.
Libraries: pandas.
"""
