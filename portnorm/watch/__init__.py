"""Watch a program: record its calls of both functions, and say which are at risk when ported.

records        what is kept of calls that are counted together
log            who called what, in bounded memory
on_torch       sees `F.normalize` through a mode of torch; norms of torch tensors
on_mindspore   sees `ops.L2Normalize` through a mode of MindSpore; norms of MindSpore tensors
arrays         norms of the vectors of NumPy arrays
dump           the calls in a dump of msprobe, as if a watch had seen them
advice         what becomes of a call on the other framework
table          the table
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from portnorm import __version__, observe
from portnorm.errors import PortnormError
from portnorm.reference import REFERENCES
from portnorm.text import strict_json
from portnorm.watch import table
from portnorm.watch.advice import Port, port
from portnorm.watch.log import Log, NormsOf
from portnorm.watch.records import Call, Record, described

HOSTS = tuple(REFERENCES)

_NOT_SEEN = (
    "calls in compiled graphs: of torch.compile, torch.jit.script and mindspore.jit, which "
    "`portnorm watch --eager` runs uncompiled, and of GRAPH_MODE",
    "calls in other processes",
    "F.normalize and ops.L2Normalize in threads that have not entered the watch, in hooks of "
    "torch's backward, and where a checkpoint is computed again",
)


class NothingToWatchError(PortnormError):
    """No framework is there to be watched."""


class Watch:
    """What a watch has recorded.

    Attributes:
        hosts: the frameworks that are watched, of `HOSTS`.
        not_seen: what a watch does not see, in a few words each.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = tuple(hosts)
        self._log = Log()
        self._modules = {host: _module(host) for host in self.hosts}
        self.not_seen: tuple[str, ...] = _NOT_SEEN
        if "mindspore" in self.hosts and not self._modules["mindspore"].SEES_OPERATORS:
            import mindspore

            version = mindspore.__version__
            why = f"ops.L2Normalize: MindSpore {version} has no public hook for it; 2.10 has one"
            self.not_seen = (why, *self.not_seen)

    @property
    def records(self) -> list[Record]:
        """What was recorded so far, in the order of first calls; waits for accelerators."""
        return self._log.records()

    @property
    def at_risk(self) -> list[Record]:
        """The records of calls whose numbers change when they are ported by name only."""
        return [record for record in self.records if port(record).status == "at risk"]

    def summary(self, width: int = 100) -> str:
        """Return the table as plain text.

        Raises:
            ImportError: rich is not installed.
        """
        return table.plain(self, width)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as what JSON has; numbers that are not finite as "inf", "nan"."""
        return {
            "portnorm": __version__,
            "hosts": list(self.hosts),
            "not_seen": list(self.not_seen),
            "dropped_calls": self._log.dropped,
            "records": [_as_dict(record) for record in self.records],
        }

    def to_json(self) -> str:
        """Return `to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), allow_nan=False, indent=2)

    def add(self, call: Call, x: Any, norms_of: NormsOf) -> None:
        """Count a call that was seen by other means; see `portnorm.watch.log.Log`."""
        self._log.add(call, x, norms_of)

    @property
    def dropped(self) -> int:
        """How many calls were left out of a log that was full."""
        return self._log.dropped

    @contextlib.contextmanager
    def _in_this_thread(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for module in self._modules.values():
                if module.SEES_OPERATORS:
                    stack.enter_context(module.Mode(self._log))
            yield

    def _observe(self, function: str, *given: Any) -> None:
        host = function.split(".")[1]
        _module(host).add_adapter_call(self._log, function, *given)


@contextlib.contextmanager
def watch(hosts: Iterable[str] | None = None, *, into: Watch | None = None) -> Iterator[Watch]:
    """Record every call of `F.normalize`, of `ops.L2Normalize` and of portnorm's adapters.

    Nothing is patched. `F.normalize` is seen by a `torch.overrides.TorchFunctionMode`, and
    `ops.L2Normalize` and mint's `normalize` in PyNative by a `mindspore.MsDispatchMode`, which
    MindSpore has since 2.10; both belong to the thread that enters the watch. The adapters
    tell of their calls in all threads. Results and gradients stay the same, bit by bit. Calls in
    compiled graphs and in other processes are not seen (`Watch.not_seen`).

    Args:
        hosts: "torch", "mindspore" or both, which are imported; None: those that are imported
            already.
        into: the log of a watch that another thread has entered, to record this thread's
            calls, too.

    Raises:
        NothingToWatchError: hosts is None, and neither framework is imported.
        ImportError: a framework is not installed.

    >>> __name__ = "script"  # calls of portnorm itself are not those of a script
    >>> import torch, torch.nn.functional as F
    >>> with watch() as log:
    ...     y = F.normalize(torch.tensor([[3.0, 4.0], [0.0, 1e-3]]))
    >>> (record,) = log.at_risk
    >>> record.vectors, record.counts["between"], round(record.minimum, 6)
    (2, 1, 0.001)
    """
    if into is not None:
        with into._in_this_thread():
            yield into
        return
    log = Watch(_imported() if hosts is None else _checked(hosts))
    observe.add(log._observe)
    try:
        with log._in_this_thread():
            yield log
    finally:
        observe.remove(log._observe)


@functools.cache
def _module(host: str) -> Any:
    return importlib.import_module(f"portnorm.watch.on_{host}")


def _imported() -> list[str]:
    found = [host for host in HOSTS if host in sys.modules]
    if not found:
        raise NothingToWatchError(
            "expected torch or mindspore to be imported before a watch starts, or named in "
            "watch(hosts=...)"
        )
    return found


def _checked(hosts: Iterable[str]) -> list[str]:
    found = [hosts] if isinstance(hosts, str) else list(hosts)
    for host in found:
        if host not in HOSTS:
            raise ValueError(f"hosts must be of {HOSTS}, not {host!r}")
    return found


def _as_dict(record: Record) -> dict[str, Any]:
    """Return a record; where something is wrong with it, what is left, so that others survive."""
    try:
        return dict(strict_json(_record_as_dict(record, port(record))))
    except Exception as error:
        call = record.call
        found = {"file": call.file, "line": call.line, "function": call.function}
        return {**found, "calls": record.calls, "error": described(error)}


def _record_as_dict(record: Record, found: Port) -> dict[str, Any]:
    call = record.call
    return {
        "file": call.file,
        "line": call.line,
        "function": call.function,
        "dtype": call.dtype,
        "dim": call.dim,
        "p": call.p,
        "eps": call.eps,
        "calls": record.calls,
        "shapes": [{"shape": shape, "calls": n} for shape, n in record.shapes.items()],
        "calls_of_other_shapes": record.other_shapes,
        "calls_without_values": record.unread,
        "vectors": record.vectors,
        "minimum_norm": record.minimum,
        "maximum_norm": record.maximum,
        "amplification": record.amplification,
        "floors": record.floors
        and dict(zip(("normalize", "l2_normalize"), record.floors, strict=True)),
        "counts": record.counts,
        "when_ported": {
            "status": found.status,
            "reasons": found.reasons,
            "argument": found.argument,
            "use": found.use,
        },
        **({"error": record.error} if record.error else {}),
    }
