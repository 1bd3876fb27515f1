"""MLflow: runs in whatever store or server it is set up for."""

from collections.abc import Mapping
from typing import ClassVar

from finebench.bench.driver.trackers import Tracker, curves, group, results, settings
from finebench.bench.results.record import Record


class MLflow(Tracker):
    """Runs of the experiment named like the study, wherever MLflow is set up to track; the tag `group` is common to a
    configuration."""

    name = "mlflow"
    package = "mlflow"
    install = "finebench[mlflow]"
    mend = "MLFLOW_TRACKING_URI names its server or a folder of its own"
    environment: ClassVar[Mapping[str, str]] = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven are minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }

    def __init__(self, study: str, results: str) -> None:
        super().__init__(study, results)
        import mlflow

        mlflow.MlflowClient().search_experiments(max_results=1)  # raises where the store or its server is not there

    def log(self, record: Record) -> None:
        """Parameters, curves and results."""
        import mlflow

        mlflow.set_experiment(self.study)
        with mlflow.start_run(run_name=record.trial["trial_id"], tags={"group": group(record)}):
            mlflow.log_params(settings(record))
            for step, values in curves(record).items():
                mlflow.log_metrics(values, step=step)
            mlflow.log_metrics(results(record))
