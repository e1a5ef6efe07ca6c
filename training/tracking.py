"""Metrics of a run: `metrics.jsonl` at once, MLflow from a thread, so that neither its start nor a slow
server holds up a training step."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files import atomic_write

_BATCH_LIMIT = 500
"""Metrics per MLflow request; its REST API takes at most 1,000."""


class MetricsFile:
    """`metrics.jsonl`, one object per logged step."""

    def __init__(self, path: Path, step: int) -> None:
        """Open for appending; what an interrupted run logged after `step` is removed, for it is trained
        again."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        atomic_write(path, "".join(f"{line}\n" for line in kept))
        self._stream = path.open("a", encoding="utf-8", buffering=1)

    def write(self, values: Mapping[str, Any]) -> None:
        """Add one line."""
        self._stream.write(json.dumps(values) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class MlflowLogger:
    """Sends parameters and metrics to MLflow from a daemon thread; a failure is one warning, never the job's
    end."""

    def __init__(self, output: Path, experiment: str, parameters: Mapping[str, Any]) -> None:
        self._output = output
        self._experiment = experiment
        self._parameters = {key: str(value)[:500] for key, value in parameters.items()}
        self._queue: queue.Queue[tuple[int, int, dict[str, float]] | None] = queue.Queue()
        self._status = "FAILED"
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over metrics of a step; returns at once."""
        self._queue.put((step, int(time.time() * 1000), dict(values)))

    def close(self, *, finished: bool, wait_seconds: float = 20.0) -> None:
        """Send what is left, mark the run as finished or not; gives up after `wait_seconds`."""
        self._status = "FINISHED" if finished else "KILLED"
        self._queue.put(None)
        self._thread.join(wait_seconds)
        if self._thread.is_alive():
            print("warning: MLflow did not take all metrics in time; metrics.jsonl has them", file=sys.stderr)

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as exc:  # noqa: BLE001 - tracking is a convenience; whatever a server or library does, training goes on
            message = " ".join(str(exc).split())[:300]
            print(f"warning: MLflow tracking is off for this run: {message}", file=sys.stderr)

    def _send_all(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        folder = self._output.parent.resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        client = MlflowClient(tracking_uri=uri or f"sqlite:///{folder / 'mlflow.db'}")
        run_id = self._open_run(client, None if uri else (folder / "mlartifacts").as_uri())
        client.log_batch(run_id, params=[Param(key, value) for key, value in self._parameters.items()])
        while (first := self._queue.get()) is not None:
            waiting = [first]
            while len(waiting) < _BATCH_LIMIT // 8 and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    self._queue.put(None)
                    break
                waiting.append(item)
            metrics = [Metric(k, v, at, step) for step, at, values in waiting for k, v in values.items()]
            client.log_batch(run_id, metrics=metrics)
        client.set_terminated(run_id, self._status)

    def _open_run(self, client: Any, artifacts: str | None) -> str:
        """The MLflow run of this folder: the one noted there (the job was interrupted), or a new one."""
        note = self._output / "mlflow-run.txt"
        if note.exists():
            run_id = note.read_text(encoding="utf-8").strip()
            client.update_run(run_id, "RUNNING")
            return run_id
        found = client.get_experiment_by_name(self._experiment)
        identity = found.experiment_id if found else client.create_experiment(self._experiment, artifacts)
        run_id = str(client.create_run(identity, run_name=self._output.name).info.run_id)
        atomic_write(note, run_id + "\n")
        return run_id


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key: value`."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        result |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return result


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return sys.maxsize  # a line cut short by a crash
