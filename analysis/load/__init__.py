"""A results folder as frames: trials, what was planned, what of it belongs to the study.

In: folders or URIs.
Out: frames, one row a trial.
May import: TODO.
"""
