"""TensorBoard: event files beside the results."""

import os

from finebench.bench.driver.trackers import Tracker, curves, group, results, settings
from finebench.bench.results.record import Record


class TensorBoard(Tracker):
    """Event files in RESULTS/tensorboard/GROUP/TRIAL_ID."""

    name = "tensorboard"
    package = "tensorboardX"
    install = "finebench[tensorboard]"
    local_files = "tensorboard"

    def __init__(self, study: str, results: str) -> None:
        super().__init__(study, results)
        import tensorboardX  # noqa: F401  what cannot be imported is said before the start

        self.folder = os.path.join(results, self.local_files)

    def log(self, record: Record) -> None:
        """Curves, and settings with what they came to."""
        from tensorboardX import SummaryWriter

        with SummaryWriter(os.path.join(self.folder, group(record), record.trial["trial_id"])) as writer:
            for step, values in curves(record).items():
                for name, value in values.items():
                    writer.add_scalar(name, value, step)
            writer.add_hparams(settings(record), results(record), name="trial")
