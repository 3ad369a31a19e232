"""Counters that all workers share, in the text format of Prometheus.

One row of whole numbers per worker in one mapped file; a scrape adds the rows up, whichever worker
it meets.
"""

from bisect import bisect_left
from pathlib import Path

import numpy as np

PATHS = (
    *("/v1/recommend", "/v1/similar", "/v1/score", "/v1/explain", "/v1/items", "/v1/run"),
    *("/v1/live", "/v1/ready", "/v1/version", "/v1/reload", "/metrics", "/openapi.json", "/"),
    "other",
)
STATUSES = (200, 202, 304, 400, 401, 403, 404, 405, 409, 413, 415, 421, 422, 500, 503)
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LIST_KINDS = ("personal", "history", "content", "popular", "none")
REASONS = ("computed_before", "live", "missing")
RELOADS = ("done", "refused")
_MICRO = 1_000_000


class Metrics:
    """The counters of one worker, and the sums over all.

    Args:
        path: The file; made by ``make_file``. None counts in memory, for one worker.
        slot: Row of this worker.
    """

    def __init__(self, path: Path | None = None, slot: int = 0) -> None:
        if path is None:
            self._all = np.zeros((1, _WIDTH), np.int64)
            slot = 0
        else:
            size = path.stat().st_size // (8 * _WIDTH)
            self._all = np.asarray(np.memmap(path, np.int64, "r+", shape=(size, _WIDTH)))

        self._own = self._all[slot]

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        at = _PATHS.get(path, len(PATHS) - 1) * len(STATUSES) + _STATUSES.get(status, 13)
        own = self._own
        own[_REQUESTS + at] += 1
        own[_HISTOGRAM + bisect_left(BUCKETS, seconds)] += 1
        own[_SECONDS] += int(seconds * _MICRO)

    def listed(self, kind: str) -> None:
        """Count a list."""
        self._own[_LISTS + LIST_KINDS.index(kind)] += 1

    def unknown(self, count: int) -> None:
        """Count ids that are not known."""
        self._own[_UNKNOWN] += count

    def reasons(self, result: str, count: int) -> None:
        """Count reasons."""
        self._own[_REASONS + REASONS.index(result)] += count

    def reloaded(self, result: str) -> None:
        """Count a reload."""
        self._own[_RELOADS + RELOADS.index(result)] += 1

    def text(self, run: str, model: str) -> str:
        """Return all of it as Prometheus reads it."""
        total = self._all.sum(0)
        lines = ["# TYPE kgrec_requests_total counter"]
        for p, path in enumerate(PATHS):
            for s, status in enumerate(STATUSES):
                count = total[_REQUESTS + p * len(STATUSES) + s]
                if count:
                    lines.append(f'kgrec_requests_total{{path="{path}",status="{status}"}} {count}')

        lines.append("# TYPE kgrec_request_seconds histogram")
        counts = np.cumsum(total[_HISTOGRAM : _HISTOGRAM + len(BUCKETS) + 1])
        for bound, count in zip((*BUCKETS, "+Inf"), counts.tolist(), strict=True):
            lines.append(f'kgrec_request_seconds_bucket{{le="{bound}"}} {count}')
        lines.append(f"kgrec_request_seconds_sum {total[_SECONDS] / _MICRO:.6f}")
        lines.append(f"kgrec_request_seconds_count {counts[-1]}")

        for name, label, start, values in (
            ("lists", "kind", _LISTS, LIST_KINDS),
            ("reasons", "result", _REASONS, REASONS),
            ("reloads", "result", _RELOADS, RELOADS),
        ):
            lines.append(f"# TYPE kgrec_{name}_total counter")
            lines += [
                f'kgrec_{name}_total{{{label}="{value}"}} {total[start + n]}'
                for n, value in enumerate(values)
            ]

        lines.append("# TYPE kgrec_unknown_ids_total counter")
        lines.append(f"kgrec_unknown_ids_total {total[_UNKNOWN]}")
        lines.append("# TYPE kgrec_run_info gauge")
        lines.append(f'kgrec_run_info{{run="{run}",model="{_escaped(model)}"}} 1')
        return "\n".join(lines) + "\n"


def make_file(path: Path, workers: int) -> None:
    """Make the file of the counters, all 0."""
    path.write_bytes(bytes(8 * _WIDTH * workers))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_PATHS = {path: number for number, path in enumerate(PATHS)}
_STATUSES = {status: number for number, status in enumerate(STATUSES)}
_REQUESTS = 0
_HISTOGRAM = _REQUESTS + len(PATHS) * len(STATUSES)
_SECONDS = _HISTOGRAM + len(BUCKETS) + 1
_LISTS = _SECONDS + 1
_UNKNOWN = _LISTS + len(LIST_KINDS)
_REASONS = _UNKNOWN + 1
_RELOADS = _REASONS + len(REASONS)
_WIDTH = _RELOADS + len(RELOADS)
