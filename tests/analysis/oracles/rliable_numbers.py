"""Makes rliable.json: what rliable 1.2.0 says of seeded scores. Run it in an environment of its own.

rliable does not import under pandas 3, so its numbers are frozen:
    python -m venv /tmp/rliable && /tmp/rliable/bin/pip install rliable==1.2.0 'pandas==2.3.*'
    /tmp/rliable/bin/python tests/analysis/oracles/rliable_numbers.py
"""

import json
from pathlib import Path

import numpy as np
from rliable import library, metrics

scores = {
    name: np.random.default_rng(seed).normal(loc, 0.1, (runs, 3)).round(6)
    for seed, (name, loc, runs) in enumerate([("a", 0.8, 10), ("b", 0.75, 10), ("c", 0.7, 5)])
}
scores["c"][0, 0] = scores["a"][3, 0]  # a tie
levels = np.linspace(0.4, 1.1, 8)
np.random.seed(1)  # rliable draws from the global state, whatever random_state says
points, intervals = library.get_interval_estimates(scores, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=20000)
profiles, _ = library.create_performance_profile(scores, levels, reps=200)
made = {
    "scores": {name: x.tolist() for name, x in scores.items()},
    "iqm": {name: float(points[name][0]) for name in scores},
    "iqm_interval": {name: [float(end) for end in intervals[name][:, 0]] for name in scores},
    "improvement": {
        f"{x}{y}": float(metrics.probability_of_improvement(scores[x], scores[y])) for x in scores for y in scores
    },
    "levels": levels.tolist(),
    "profiles": {name: profiles[name].tolist() for name in scores},
}
Path(__file__).with_name("rliable.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
