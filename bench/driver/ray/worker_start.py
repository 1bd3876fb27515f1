"""What each process of Ray's that may train for us does first, before a trainable is unpickled."""

from importlib import import_module

from finebench.bench.util.own_python import installed_first

HOOK = f"{__name__}.prepare"
"""As Ray's `worker_process_setup_hook` names it."""


def prepare() -> None:
    """Find installed modules first, and import what a trainable is unpickled with: for its first task Ray puts the
    driver's working directory and its script's folder in front of this process's path."""
    installed_first()
    import_module("finebench.bench.driver.ray.worker")
