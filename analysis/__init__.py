"""From a results folder to a report: load → runs → tables → figures → files.

    load.py           RESULTS (any URI) → frames
    statistics/       arrays → `Estimate`; one idea a file
    runs.py           one row per trial, with the score that enters the analysis
    choice.py         the configuration of each cell, chosen on `select` alone
    scores.py variants.py sensitivity.py curves.py    what was scored
    cells.py failures.py ledger.py efficiency.py      what ran, what was tried, what it cost
    best.py           the best configurations as a study
    contents.py sentences.py protocol.py              which tables the report has, and what may be said of them
    figures.py tables.py formats.py                   one definition per figure and table → every file format
    report.py         all of it → RESULTS/report

It imports neither ray nor torch, and of the harness only the schema and the errors.
"""
