"""How long a study would take on so many slots: its scheduler, replayed against a clock that only counts.

In: a plan, the seconds of its trials, nodes.
Out: makespan, share of the slots that is busy.
May import: util, study.parts, study, results, training.worker, scheduling.
"""
