"""From a results folder to a report. The rooms, in the order in which data flow:

    load          RESULTS (any URI) → frames, one row per trial with the score that enters the analysis
    statistics    arrays → estimates, tests and intervals; one idea a file
    scores        the configuration of each cell, chosen on `select` alone, and what it scored
    uncertainty   pairs of methods, what the noise is made of, tasks together
    costs         what a score costs
    claims        the study's claims, a verdict on each, and what comes next
    tables        frames → columns in words → CSV, Markdown, LaTeX, Parquet
    figures       frames → charts
    report        all of it in the reader's order → RESULTS/report
    compare       two results folders → what changed

They import neither ray nor torch, and of the harness only what is pure, the schema and the store. What each room takes,
gives and may import stands in its own `__init__`.
"""
