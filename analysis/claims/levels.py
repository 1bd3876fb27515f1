"""The nominal levels of several looks, kept between runs: simulating them takes seconds."""

import numpy as np

from finebench.analysis.statistics.group_sequential import PATHS, RHO, Levels, nominal_levels
from finebench.bench.util.user_cache import cached, keep


def kept_levels(looks: tuple[int, ...]) -> Levels:
    """The levels of a schedule, simulated once on this machine; losing what was kept costs time, nothing else."""
    key = {"looks": list(looks), "rho": RHO, "paths": PATHS}
    known = cached("levels", key)
    if known is None:
        made = nominal_levels(looks)
        keep("levels", key, made.tolist())
        return Levels(looks, made)
    return Levels(looks, np.asarray(known, dtype=np.float64))
