"""torch's `normalize` and MindSpore's `L2Normalize`, each on either framework.

`portnorm.torch` has both for torch tensors, `portnorm.mindspore` both for MindSpore tensors.
README says what else there is, and CONTRIBUTING where each thing is.

Importing `portnorm` imports no framework and changes nothing in the process.
"""

from portnorm.errors import (
    NativeParityError,
    PortnormError,
    PortnormWarning,
    StrictParityError,
    UnsupportedPError,
    UnsupportedPWarning,
)
from portnorm.options import Options, get_options, set_options
from portnorm.reference import CudaDevice, MindSporeReference, TorchReference

__version__ = "0.1.0"

__all__ = [
    "CudaDevice",
    "MindSporeReference",
    "NativeParityError",
    "Options",
    "PortnormError",
    "PortnormWarning",
    "StrictParityError",
    "TorchReference",
    "UnsupportedPError",
    "UnsupportedPWarning",
    "__version__",
    "get_options",
    "set_options",
]
