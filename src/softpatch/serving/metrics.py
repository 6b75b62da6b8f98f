"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

VERDICTS = {True: "anomalous", False: "good", None: "none"}


class Metrics:
    """Counters of one service. Labels take few values: names of models, routes and verdicts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, processor time, open files
        self.requests = Counter(
            "softpatch_requests", "Requests answered.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "softpatch_request_seconds", "From a request to its answer.", ["route"],
            registry=self._registry,
        )  # fmt: skip
        self.pictures = Counter(
            "softpatch_pictures", "Pictures scored.", ["model", "verdict"], registry=self._registry
        )
        self.batches = Histogram(
            "softpatch_batch_pictures", "Pictures scored together.", buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )  # fmt: skip
        self.loads = Counter(
            "softpatch_model_loads", "Model files read anew.", ["model", "result"],
            registry=self._registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "softpatch_waiting_pictures", "Pictures that wait or are being scored.",
            registry=self._registry,
        )  # fmt: skip

    def text(self) -> bytes:
        """All of them in Prometheus's format."""
        return generate_latest(self._registry)
