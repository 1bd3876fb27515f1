"""One run from a study to a finished folder: validate, plan, schedule, train, store.

In: a study and options.
Out: a results folder, an outcome.
May import: util, metrics, tasks, data, models, methods, study.parts, study, results, training, training.worker,
scheduling, scheduling.simulation, driver.ray, driver.ray.nodes.
Libraries: torch.
"""
