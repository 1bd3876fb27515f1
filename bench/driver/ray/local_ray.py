"""A Ray of our own: bound to localhost, with the services that a sweep on one machine uses, and no others.

To have the dashboard, start Ray with `ray start --head` and give its address.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from finebench.bench.driver.ray import workarounds
from finebench.bench.results.leftovers import sign
from finebench.bench.util.own_python import every_python_installed_first
from finebench.bench.util.places import home, writable
from finebench.bench.util.signals import no_hangup

_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray's job server tells a job's command of its working_dir, which another Ray does not have."""


def start(meanwhile: Callable[[], object], **options: Any) -> None:
    """`ray.init` with these options; `meanwhile` is called while Ray's node starts, and is the caller's to call again.

    Raises what ray.init raises: a bare Exception where its services do not start in time.
    """
    _bring_token()
    with (
        no_hangup(),
        workarounds.loopback(),
        workarounds.quick_start(meanwhile),
        workarounds.environment(_JOB, None),
        every_python_installed_first(),
    ):
        context: Any = ray.init(address="local", include_dashboard=False, **options)
    _folders[:] = [Path(context.address_info["session_dir"])]
    sign(_folders[0])


_folders: list[Path] = []


def session_folder() -> Path | None:
    """Where the Ray that was last started here keeps its files.

    Ray would say it in answer to a second ray.init, which puts Ray's signal handler in place of ours.
    """
    return next(iter(_folders), None)


def _bring_token() -> None:
    """Let Ray have a secret for its connections where it cannot keep one in the user's home: for this process and those
    that it starts, until they end."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"))
    try:
        kept = writable(home() / ".ray" / "auth_token") or (home() / ".ray" / "auth_token").exists()
    except FileNotFoundError:
        kept = False
    if not given and not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
