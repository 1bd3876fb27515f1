"""Figures, a file per idea: each is made from one frame of a report, in a declarative grammar."""
