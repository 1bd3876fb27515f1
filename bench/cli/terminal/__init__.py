"""What a person sees while a command runs: tables, progress, what is waited for.

In: rows, events.
Out: text that fits the window.
May import: study.parts, study, results, training.worker, scheduling.
Libraries: rich, typer.
"""
