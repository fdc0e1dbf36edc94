"""torch's `normalize` and MindSpore's `L2Normalize`, each on either framework.

    on                 torch's function              MindSpore's function
    torch tensors      portnorm.torch.normalize      portnorm.torch.l2_normalize
    MindSpore tensors  portnorm.mindspore.normalize  portnorm.mindspore.l2_normalize

The layers are called `Normalize` and `L2Normalize`.

Where to find what:

    portnorm.torch, portnorm.mindspore   the adapters; each needs its own framework only
    portnorm.semantics                   the two functions as data: defaults, domains, error texts
    portnorm.options                     the parity level, references, and what happens for other p
    portnorm.observe                     who is told of the calls of the adapters
    portnorm.reference                   builds of the frameworks, and the rules of their arithmetic
    portnorm.errors                      errors and warnings
    portnorm.compare                     measures where the two functions differ on given data
    portnorm.port, portnorm.check        port and check source code that calls the two functions
    portnorm.cli                         the command `portnorm`

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
from portnorm.reference import MindSporeReference, TorchReference

__version__ = "0.1.0"

__all__ = [
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
