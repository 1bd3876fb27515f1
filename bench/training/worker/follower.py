"""What a rank beside rank 0 does: train the packs that it is told, and hand in nothing.

python -m finebench.bench.training.worker.follower   # reads pickles: its rank, shipment and share, then orders
"""

import pickle
import sys

from finebench.bench.util.quick_imports import uncollected

with uncollected():
    import torch

    from finebench.bench.study.trial_id import Trial
    from finebench.bench.training.ranks.group import Place, Ranks
    from finebench.bench.training.worker.followers import patience
    from finebench.bench.training.worker.messages import Orders, Pack
    from finebench.bench.training.worker.pack_runner import PackRun, calibrate
    from finebench.bench.training.worker.worker_cache import WorkerCache


def serve(cache: WorkerCache, rank: int, orders: Orders) -> bool:
    """Train a pack as one of its ranks, as rank 0 goes on; returns whether this process can take another one.

    Raises RankLost where the ranks do not meet.
    """
    cache.take(orders.share)
    trials = tuple(Trial.from_json(text) for text in orders.trials)
    place = Place(rank, orders.number, orders.host, orders.port)
    ranks = Ranks.open(place, cache.device, patience(cache.shipment, trials))
    if orders.measures:
        try:
            calibrate(cache, trials[0], ranks)
        except Exception as error:
            if ranks.own:
                ranks.say("error", f"{type(error).__name__}: {error}")
            raise
        return True
    run = PackRun(cache, Pack(trials, orders.rungs), orders.rate, ranks=ranks)
    while run.advance() is not None:
        pass
    failed = next((one for one in run.members if one.status in ("error", "oom", "lost")), None)
    if ranks.own and failed is not None:
        ranks.say(failed.status, failed.reason or "")
    run.close()
    return ranks.broken is None


def main() -> None:
    """Serve until rank 0 has no more orders, or a pack has broken."""
    rank, shipment, share = pickle.load(sys.stdin.buffer)
    if share.gpu > 0 and torch.cuda.is_available():
        torch.cuda.set_device(rank)
    cache = WorkerCache(shipment, share)
    while True:
        try:
            orders = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if not serve(cache, rank, orders):
            return


if __name__ == "__main__":
    main()
