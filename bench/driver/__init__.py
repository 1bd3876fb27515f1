"""One run from a study to a finished folder: validate, plan, schedule, train, store.

In: a study and options.
Out: a results folder, an outcome.
May import: TODO.
"""
