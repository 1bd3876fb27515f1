"""One training run: a job, its loop, its evaluations. Knows no method and no task by name.

In: a job.
Out: evaluations, a trained model.
May import: util, metrics, data, models, methods, study.schedules, study.parts, training.ranks.
Libraries: torch, transformers.
"""
