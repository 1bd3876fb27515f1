"""The results folder: one schema, one writer, whole files or none.

In: finished trials.
Out: rows that every reader finds complete, once each.
May import: util, methods, study.parts, study.
Libraries: pyarrow.
"""
