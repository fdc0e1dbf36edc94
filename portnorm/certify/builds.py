"""The builds to compare with: a framework, as it runs in this process or in one of its own.

torch chooses what it uses of the CPU once, when it is imported. So each capability gets a process,
in which the environment variable ATEN_CPU_CAPABILITY names it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from portnorm.certify.cases import case_of
from portnorm.certify.check import Progress, Tally, check
from portnorm.certify.implementations import Implementation, as_read, exact, framework
from portnorm.errors import PortnormError
from portnorm.reference import (
    REFERENCES,
    Reference,
    TorchReference,
    certified_there,
    current,
    is_certified,
)


@dataclass(frozen=True)
class Share:
    """The cases that one build gets.

    Attributes:
        seed: of all cases.
        first: number of its first case.
        step: from one number to the next.
        cases: how many at most, None for no bound.
        seconds: after which to stop, None for no bound.
    """

    seed: int
    first: int = 0
    step: int = 1
    cases: int | None = None
    seconds: float | None = None


class Build(Protocol):
    """A build of a framework."""

    @property
    def reference(self) -> Reference:
        """Which build it is."""

    def run(self, share: Share, progress: Progress | None = None) -> Tally:
        """Run these cases and compare the bits with those of `portnorm.exact`."""


# --- in this process ------------------------------------------------------------------------------


class InProcess:
    """The framework as it is set up in this process.

    Args:
        name: ``"torch"`` or ``"mindspore"``.
        ours: what to compare it with instead of `portnorm.exact`.
        device: on which torch runs, ``"cpu"`` or ``"cuda"``.

    Raises:
        ImportError: it cannot be imported.
        StrictParityError: a system or a CPU for which nothing is certified.
    """

    def __init__(self, name: str, ours: Implementation | None = None, device: str = "cpu") -> None:
        self.reference = current(name, device)
        self._theirs = framework(name, device)
        self._ours = ours or exact(nearest_certified(self.reference))

    def run(self, share: Share, progress: Progress | None = None) -> Tally:
        """Run these cases."""
        numbers: Iterable[int] = itertools.count(share.first, share.step)
        if share.cases is not None:
            numbers = itertools.islice(numbers, share.cases)
        cases = (case_of(self.reference.framework, share.seed, number) for number in numbers)
        return check(cases, self._theirs, self._ours, seconds=share.seconds, progress=progress)


def nearest_certified(reference: Reference) -> Reference:
    """Return the build itself, or if it is not certified, the certified one before it.

    A release on CUDA devices whose rules were read stands for itself.

    >>> nearest_certified(TorchReference("2.13.1+cpu", "avx512", 2)).version
    '2.13.0'
    >>> nearest_certified(TorchReference("1.13.1")).version
    '2.0.0'
    """
    if isinstance(reference, TorchReference) and as_read(reference) is not reference:
        return reference
    if is_certified(reference):
        return reference
    versions = certified_there(reference)
    older = [version for version in versions if _key(version) <= _key(reference.version)]
    return replace(reference, version=older[-1] if older else versions[0])


def _key(version: str) -> list[int]:
    numbers = version.partition("+")[0].split(".")
    return [int("".join(itertools.takewhile(str.isdigit, number)) or 0) for number in numbers]


# --- in a process of its own ----------------------------------------------------------------------


class UnavailableError(PortnormError):
    """A framework cannot be used here."""


class InSubprocess:
    """The framework in a new process, which ends with this object's `with` statement.

    Args:
        name: ``"torch"`` or ``"mindspore"``.
        capability: what torch is to use of the CPU; None for all that it can.
        device: on which torch runs, ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, name: str, capability: str | None = None, device: str = "cpu") -> None:
        self._name = name
        self._log = tempfile.TemporaryFile()  # closed in __exit__  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "portnorm.certify.worker", name, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=_environment(capability),
        )
        self._reference: Reference | None = None

    def __enter__(self) -> InSubprocess:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    @property
    def reference(self) -> Reference:
        """Which build it is.

        Raises:
            UnavailableError: the framework cannot be used.
        """
        if self._reference is None:
            answer = self._read()
            if "unavailable" in answer:
                raise UnavailableError(answer["unavailable"])
            self._reference = REFERENCES[self._name].from_json(answer["reference"])
        return self._reference

    def run(self, share: Share, progress: Progress | None = None) -> Tally:
        """Run these cases in the process.

        Raises:
            UnavailableError: the process ended before it was done.
        """
        _ = self.reference
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(share)) + "\n")
        self._process.stdin.flush()
        while True:
            answer = self._read()
            tally = Tally.from_dict(answer["tally"])
            if answer["done"]:
                return tally
            if progress is not None:
                progress(tally)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise UnavailableError(
                f"the process that ran {self._name} ended with exit status "
                f"{self._process.wait()}{self._last_words()}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return f": {said[-1]}" if said else ""


def _environment(capability: str | None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != _CAPABILITY}
    if capability is not None:
        environment[_CAPABILITY] = "default" if capability == "neon" else capability
    # The process is to find the modules that this one does, and none in the working directory, nor
    # inside of a package: MindSpore puts the folder of its own math.py on the path.
    paths = [path for path in sys.path if path and not Path(path, "__init__.py").exists()]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTHONSAFEPATH"] = "1"
    environment["PORTNORM_COMPILE_NOTICE"] = "off"  # the report says it
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # there may be more threads than cores
    return environment


_CAPABILITY = "ATEN_CPU_CAPABILITY"
_LADDERS = (("default", "avx2", "avx512"), ("neon", "sve256"))
"""Capabilities of each machine. torch uses the last one that the CPU has."""


@contextlib.contextmanager
def installed_builds(
    hosts: Iterable[str], device: str = "cpu"
) -> Iterator[tuple[list[Build], list[str]]]:
    """Start every build of these frameworks that runs here, on a CPU or a CUDA device.

    Yields:
        The builds, and why frameworks are missing.
    """
    with contextlib.ExitStack() as stack:
        builds: list[Build] = []
        notes: list[str] = []
        installed = [host for host in hosts if importlib.util.find_spec(host) is not None]
        notes += [f"{host} is not installed" for host in hosts if host not in installed]
        first = {host: stack.enter_context(InSubprocess(host, device=device)) for host in installed}
        for host, build in first.items():
            try:
                below = _capabilities_below(build.reference)
            except UnavailableError as error:
                notes.append(str(error))
                continue
            others = [stack.enter_context(InSubprocess(host, name)) for name in below]
            builds += [*others, build]
        yield builds, notes


def _capabilities_below(reference: Reference) -> tuple[str, ...]:
    """Return the capabilities that the CPU has besides the one that torch chose."""
    if isinstance(reference, TorchReference):
        for ladder in _LADDERS:
            if reference.capability in ladder:
                return ladder[: ladder.index(reference.capability)]
    return ()
