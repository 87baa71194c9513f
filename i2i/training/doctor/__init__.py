"""The training doctor: signs of a training that fails, each with its numbers and what helps.

    Doctor          an observer that looks at what the loop makes anyway, while it trains
    diagnose        the same signs afterwards, on a run or on any model

`table` lists the signs. One file for each kind of evidence: `pixels` (outputs), `curves` (the log, with
weights and waiting times) and `loader` (the images that come). `remedy` names the setting that helps.
"""

from __future__ import annotations

from i2i.training.doctor.examine import Diagnosis, diagnose
from i2i.training.doctor.finding import Finding
from i2i.training.doctor.monitor import Doctor

__all__ = ["Diagnosis", "Doctor", "Finding", "diagnose"]
