"""What runs next: grids, searches, waves, packs, shares of a GPU. Knows no Ray.

In: a plan, finished rows, measurements.
Out: packs, in order.
May import: util, data, methods, study.parts, study, results, training.worker.
Libraries: optuna, torch.
"""
