"""What was asked: the study file, checked whole, and the trials that it comes to.

In: a YAML file.
Out: a study, its plan, a trial's identity.
May import: util, metrics, tasks, models, methods, study.schedules, study.parts.
"""
