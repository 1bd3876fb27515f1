"""Several training runs of one shape, step by step together.

In: jobs of one kind.
Out: the evaluations of each, as it would have them alone.
May import: util, data, models, training.
Libraries: torch.
"""
