"""The parts of a study file, each a closed model of its keys.

In: keys and values as the file has them.
Out: parts that hold what they say.
May import: util, methods, study.schedules.
"""
