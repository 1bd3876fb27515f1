"""A process that trains one pack of trials after another, and measures what each costs.

In: packs, and what all trials of a study share.
Out: a record for each trial.
May import: util, metrics, data, models, methods, study.parts, study, results, training,
training.packs, training.ranks.
Libraries: pyarrow, torch.
"""
