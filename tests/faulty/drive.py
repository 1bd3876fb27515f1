"""`finebench run` with the faulty method, in a Ray of its own with one CPU: a child whose surroundings a test chooses.

python -m tests.faulty.drive STUDY RESULTS
"""

import sys

from finebench.bench.driver.ray import session, workarounds  # before ray: how Ray behaves

import ray  # isort: skip

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from tests.faulty.faulty import register

ATTEMPTS = 10
"""To start Ray on a machine that is busy with other things."""


def main(study: str, results: str) -> int:
    """The command's exit code."""
    register()
    hook = {"worker_process_setup_hook": "tests.faulty.faulty.register"}
    for attempt in range(ATTEMPTS):
        try:
            with workarounds.loopback():
                ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=hook, address="local")
            break
        except Exception:  # the class that Ray raises where its node does not come up in half a minute
            ray.shutdown()
            if attempt == ATTEMPTS - 1:
                raise
    session._sessions.append(session.RayOptions())  # the command takes this Ray for its own
    try:
        return guarded(lambda: app(["run", study, "--results", results], standalone_mode=False))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
