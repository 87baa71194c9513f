"""What a run reports: log.jsonl, sample grids, report.html, and progress on stderr."""

from __future__ import annotations

from i2i.training.report.observer import ForwardingObserver, Observer, SilentObserver, TrackerObserver
from i2i.training.report.report import Report

__all__ = ["ForwardingObserver", "Observer", "Report", "SilentObserver", "TrackerObserver"]
