"""The `finebench` command: what it asks, what it prints, how it exits.

In: words on a command line.
Out: text or JSON, an exit code.
May import: util, metrics, tasks, data, models, methods, study.parts, study, results, training.worker, scheduling,
driver, cli.terminal, analysis.claims, analysis.report, analysis.compare.
Libraries: pyarrow, rich, typer.
"""
