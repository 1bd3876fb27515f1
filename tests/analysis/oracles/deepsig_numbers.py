"""Makes deepsig.json: what deep-significance 1.2.6 says of seeded scores. Run in an environment of its own: it is GPL.

python -m venv /tmp/deepsig && /tmp/deepsig/bin/pip install deepsig==1.2.6 'numpy<2'
/tmp/deepsig/bin/python tests/analysis/oracles/deepsig_numbers.py
"""

import json
import sys
from pathlib import Path

import deepsig
import numpy as np

inside = sys.modules["deepsig.aso"]
cases = []
for seed, (gap, spread, n, m) in enumerate(
    [(0.0, 1.0, 12, 12), (0.5, 1.0, 15, 10), (1.0, 2.0, 20, 30), (-0.3, 0.5, 10, 10)]
):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(gap, 1, n).round(6), rng.normal(0, spread, m).round(6)
    ratio = inside.compute_violation_ratio(a, b, dt=0.0005)
    bound = deepsig.aso(list(a), list(b), seed=seed, dt=0.005, num_bootstrap_iterations=5000, show_progress=False)
    cases.append({"a": a.tolist(), "b": b.tolist(), "ratio": float(ratio), "bound": float(bound)})
Path(__file__).with_name("deepsig.json").write_text(json.dumps(cases, indent=1) + "\n", "utf-8")
