"""The `finebench` command: what it asks, what it prints, how it exits.

In: words on a command line.
Out: text or JSON, an exit code.
May import: util, tasks, data, study, results, training.worker, scheduling, driver, analysis.claims, analysis.report,
analysis.compare.
Libraries: pyarrow, rich, typer.
"""
