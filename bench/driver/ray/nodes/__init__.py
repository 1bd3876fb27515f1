"""The nodes of a cluster: what they have, what an autoscaler may bring, which of them can train a study.

In: a connected Ray, a study.
Out: nodes, refusals, what a run waits for.
May import: util, study, results.
Libraries: ray.
"""
