"""`finebench run` with the faulty method, in a Ray of its own with one CPU: a child whose surroundings a test chooses.

python -m tests.faulty.drive STUDY RESULTS
"""

import sys

from bench import cluster  # before ray: how Ray behaves

import ray  # isort: skip

from bench.cli import app, guarded
from tests.faulty.faulty import register


def main(study: str, results: str) -> int:
    """The command's exit code."""
    register()
    hook = {"worker_process_setup_hook": "tests.faulty.faulty.register"}
    options = {"include_dashboard": False, "log_to_driver": False, "runtime_env": hook}
    with cluster._loopback():
        ray.init(address="local", num_cpus=1, **options)
    try:
        return guarded(lambda: app(["run", study, "--results", results], standalone_mode=False))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
