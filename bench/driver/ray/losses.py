"""What Ray says of a lost worker: why, on which node it was, and whether the node has gone with it.

A node that goes (a spot instance that is taken back, a machine switched off) is no failure of the trials that it had.
"""

import re
from pathlib import Path
from typing import Any

import ray

from finebench.bench.training.worker.result_rows import LONGEST_REASON
from finebench.bench.util.errors import DeviceLost, plain

MOST_NODES = 10
"""Nodes that one pack may lose without a retry: one that takes machine after machine with it has an end too."""

NODE_DIED = "its node has died"
"""What Ray says where a process was lost with its node."""

IP = re.compile(r"^\s*ip: (\S+)\s*$", re.MULTILINE)


def said(trial: Any) -> str:
    """Ray's last error of a trial, which it wrote down before it asked us; empty where there is none."""
    error = trial.get_pickled_error()
    file = getattr(trial, "error_file", None)  # where a worker failed while it started, Ray leaves text only
    return str(error) if error is not None else Path(file).read_text() if file and Path(file).exists() else ""


def with_node(trial: Any) -> bool:
    """Whether a trial's worker was lost since its node has gone."""
    return bool(getattr(trial.get_pickled_error(), "preempted", False)) or NODE_DIED in said(trial)


def node_name(trial: Any) -> str | None:
    """The host name of the node, alive or not, on which a trial's worker was lost; None where that is not known."""
    found = IP.search(said(trial))
    ip = found[1] if found else getattr(getattr(trial, "temporary_state", None), "location", None)
    ip = getattr(ip, "hostname", ip)  # what a worker that has reported said of itself
    if not ip or not ray.is_initialized():
        return None
    names = {one["NodeManagerAddress"]: one["NodeManagerHostname"] for one in ray.nodes()}
    return names.get(ip, ip if ip in names.values() else None)


def why_lost(trial: Any, struck: bool = False) -> tuple[str, str]:
    """Status and reason of a Ray trial whose worker is gone: Ray wrote its last error down before it asked us.

    A worker that Ray's memory monitor killed is `oom`. One that the kernel's out-of-memory killer ended looks like any
    other lost worker; `struck` says that this killer ended some process here while the worker had its pack.
    """
    error = trial.get_pickled_error()
    text = said(trial).rpartition(f"{DeviceLost.__name__}: ")[2]  # our own word of it, where the worker had one
    memory = isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in text
    shown = plain(text, LONGEST_REASON - 100) or "no reason is known"
    if struck and not memory:
        return "oom", f"worker lost while the kernel's out-of-memory killer ended a process here: {shown}"
    return ("oom" if memory else "error"), f"worker lost: {shown}"
