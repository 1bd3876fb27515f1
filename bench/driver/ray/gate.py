"""The worker of a cluster: proves that its node can train before it takes a pack, and says what keeps it from that.

It is sent to nodes as it stands, not by its name, so that it runs where finebench is another one or missing. A node
that cannot train is told of with a worker's ordinary report; then the worker ends, and its pack runs elsewhere.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import cloudpickle, tune

from finebench.bench.driver.ray.nodes import proof
from finebench.bench.driver.ray.nodes.proof import NodeUnfit, differences, fingerprint

NODE_LABEL = "ray.io/node-id"
"""Ray's own label of each node."""


class Gate(tune.Trainable):  # type: ignore[misc]
    """A worker behind its proof. `cargo` are references to the shipment and the model's files, which are fetched once
    the node's code is known to be the driver's; `driver` is the driver's fingerprint."""

    def setup(self, config: dict[str, Any], cargo: Any = None, driver: Mapping[str, str] | None = None) -> None:
        """Prove, then start as any worker does; what keeps it from that and is the node's fault is kept.

        Raises what is not: the worker is lost then as any other, and its pack is tried again, here or elsewhere. A disk
        that is full may be the node's for a minute or for good: it is told, and the driver finds out.
        """
        _remove_folder(self)
        self.told, self.lasts = False, True
        self.worker: Any = None
        try:
            self.why = "; ".join(differences(own_fingerprint(), driver or {}))
            if not self.why:
                self._start(config, cargo)
        except Exception as error:  # the node's fault, if it does not pass: the study's inputs have been tried before
            if passes(error) and not isinstance(error, OSError):
                raise
            self.lasts = not passes(error)
            self.why = " ".join(f"{type(error).__name__}: {error}".split())[:400]

    def _start(self, config: dict[str, Any], cargo: Any) -> None:
        try:
            import torch  # noqa: F401  which the worker imports

            from finebench.bench.driver.ray.worker import PackWorker
        except OSError as error:  # a library that torch loads is not there or is another one's
            raise ImportError(str(error)) from error
        worker = PackWorker()
        worker.setup(config, *(ray.get(one) for one in cargo))
        worker.prove()
        self.worker = worker

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack; a worker that cannot train takes none."""
        _remove_folder(self)
        return self.worker is not None and bool(self.worker.reset_config(new_config))

    def step(self) -> dict[str, Any]:
        """As the worker's; of one that cannot train, first the reason. Raises RuntimeError then, so that Ray ends it
        and its pack is free."""
        node = ray.get_runtime_context().get_node_id()
        if self.worker is not None and not self.told:
            try:
                return dict(self.worker.step())
            except NodeUnfit as error:  # of one on which another rank was to train
                node, self.why = error.node, error.why
        if self.told:
            raise RuntimeError(f"this node cannot train: {self.why}")
        self.told = True
        unfit = {"node": node, "why": self.why, "lasts": self.lasts}
        return {"done": False, "rung": 0, "value": 0.0, "payload": {"unfit": unfit}}

    def cleanup(self) -> None:
        """Nothing is held that the process's end does not free."""


def _remove_folder(worker: tune.Trainable) -> None:
    """Remove the folder that Ray Tune makes on the node for each trial, in which nothing of ours is: a cluster's nodes
    would keep one for every trial that they ever had."""
    with suppress(OSError):
        os.rmdir(getattr(worker, "_logdir", None) or "")


def passes(error: Exception) -> bool:
    """Whether what went wrong may be another in a minute: memory or a disk that others fill, or what Ray says of a
    cable that is cut."""
    if isinstance(error, OSError | MemoryError | ray.exceptions.RayError):
        return True
    try:
        from finebench.bench.util.device_faults import out_of_memory
    except Exception:  # where torch itself cannot be imported, that does not pass
        return False
    return out_of_memory(error)


def own_fingerprint() -> dict[str, str]:
    """This process's, with what is installed found before what Ray put in front: the driver's working directory."""
    try:
        from finebench.bench.util.own_python import installed_first
    except ImportError:  # the fingerprint tells
        pass
    else:
        installed_first()
    return fingerprint()


def placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a pack takes of the machine, and of which nodes; here, since Ray asks for it in the worker's process too."""
    bundle = {"CPU": config["cpus"]} | ({"GPU": config["gpu"]} if config["gpu"] > 0 else {}) | config["beside"]
    bundles = [dict(bundle) for _ in range(config.get("ranks", 1))]  # on one node, where one has room for all
    labels = dict(config["labels"])
    if config["avoid"]:
        labels[NODE_LABEL] = f"!in({','.join(config['avoid'])})"
    selector = [dict(labels) for _ in bundles] if labels else None
    return tune.PlacementGroupFactory(bundles, strategy="PACK", bundle_label_selector=selector)


@contextmanager
def sent_whole() -> Iterator[None]:
    """Let Ray send the gate itself to its workers, and not its name."""
    import sys

    modules = (sys.modules[__name__], proof)
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
