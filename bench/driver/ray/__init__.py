"""Packs over the workers of a Ray cluster, as one experiment of Ray Tune.

In: packs.
Out: records.
May import: util, models, driver.ray.nodes, study, results, training.worker, scheduling.
Libraries: ray.
"""
