"""Measure how the two functions differ on given data.

`compare` runs torch's `normalize` and MindSpore's `L2Normalize` on one array, whichever of the
two frameworks is installed, and says how far their values and gradients are apart. The command
`portnorm compare` does so for files. `watch` records the calls that a program makes, as
`portnorm watch` does for scripts.
"""

from portnorm.compare.comparison import Comparison
from portnorm.compare.difference import Difference
from portnorm.compare.measurement import Measurement, Row
from portnorm.compare.results import compare_results, plan_results
from portnorm.compare.run import compare
from portnorm.compare.settings import Settings, plan
from portnorm.readers import UnreadableError, open_array
from portnorm.watch import Watch, watch

__all__ = [
    "Comparison",
    "Difference",
    "Measurement",
    "Row",
    "Settings",
    "UnreadableError",
    "Watch",
    "compare",
    "compare_results",
    "open_array",
    "plan",
    "plan_results",
    "watch",
]
