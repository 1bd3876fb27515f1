"""Trials that did not end well, with their reasons: failed ones, and diverged ones that count as results."""

import pandas as pd

SHOWN = ["task", "fraction", "budget_label", "method", "setting", "seed", "stage", "status", "reason", "trial_id"]


def failures(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per failed or diverged trial, failed ones first."""
    bad = runs[runs["is_failed"] | runs["status"].eq("diverged")]
    order = bad.sort_values(
        ["is_failed", "task", "fraction", "method", "seed"], ascending=[False, True, True, True, True]
    )
    return order[SHOWN].reset_index(drop=True)
