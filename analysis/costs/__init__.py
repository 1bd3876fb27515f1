"""At what cost: seconds, memory, FLOPs, energy, data; who is on the front.

In: frames of runs and scores.
Out: frames of costs.
May import: statistics, load, scores.
Libraries: pandas, scipy.
"""
