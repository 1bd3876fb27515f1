"""From a results folder to a report: load → runs → tables → figures → files.

    load.py           RESULTS (any URI) → frames
    statistics/       arrays → `Estimate`; one idea a file
    runs.py           one row per trial, with the score that enters the analysis
    choice.py         the configuration of each cell, chosen on `select` alone
    scores.py per_seed.py variants.py sensitivity.py …   what was scored
    cells.py asked.py failures.py ledger.py efficiency.py   what ran of what was asked, and what it cost
    samples.py pairs.py sources.py power.py …         how sure that is, and what the noise is made of
    costs.py ratios.py pareto.py reach.py …           what a score costs
    claim.py evidence*.py verdicts.py claims.py settling.py   the study's claims, a verdict on each, and what comes next
    best.py           the best configurations as a study
    contents.py ranges.py sentences.py verdict_words.py protocol.py   every frame, once; and what may be said of them
    layout*.py tables.py formats.py                   one definition per table → CSV, Markdown, LaTeX, Parquet
    figures/ palette.py statics.py                    one definition per figure → the page, SVG, PNG
    sections.py page.py render.py templates/          the reader's order → index.html, report.md
    report.py         all of it → RESULTS/report
    compare*.py       two results folders → what changed

It imports neither ray nor torch, and of the harness only what is pure, the schema and the store.
"""
