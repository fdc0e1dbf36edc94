"""Take a build that nobody compared: find the known rules that give every bit of it."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portnorm import __version__
from portnorm.certify.cases import Case, case_of
from portnorm.certify.check import Tally, check, compare, describe
from portnorm.certify.implementations import Implementation, exact, framework
from portnorm.certify.report import name_of
from portnorm.reference import Adoption, Reference, certified_there, current
from portnorm.reference.adoption import LEAST
from portnorm.terminal import Progress

_SEARCHED, _KEPT = 500, 5
"""Cases among which the smallest that differ are looked for, and how many of them are shown."""


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        build: that is installed; it has what was adopted, where any rules fit.
        release: the certified release whose rules fit, or else those that held for most cases.
        tally: of the comparison with these rules.
        seed: of the cases.
    """

    build: Reference
    release: str
    tally: Tally
    seed: int

    @property
    def fits(self) -> bool:
        """Whether every bit agreed."""
        return self.build.adopted is not None

    def line(self) -> str:
        """Return what was found in one line."""
        values, gradients = _elements(self.tally)
        found = "every bit agrees" if self.fits else "not bit-identical"
        return (
            f"{name_of(self.build)}: the rules of {self.release}: {found}; {self.tally.cases:,} "
            f"cases, {values:,} values and {gradients:,} elements of gradients, seed {self.seed}, "
            f"{self.tally.seconds:.0f} s and {self.tally.compiling:.0f} s of compiling"
        )


def adopt(name: str, seed: int, *, least: int = LEAST, progress: Progress | None = None) -> Trial:
    """Compare the installed build of a framework with the known rules, newest first.

    Args:
        name: ``"torch"`` or ``"mindspore"``.
        seed: of the cases.
        least: so many values, and elements of gradients, have to agree in every bit.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        ImportError: it cannot be imported.
        StrictParityError: a system or a CPU for which nothing is certified.
    """
    build, theirs = current(name), framework(name)
    nearest: tuple[str, Tally] | None = None
    for release in _with_other_rules(build):

        def show(done: float, release: str = release) -> None:
            if progress is not None:
                progress(f"{name_of(build)}, the rules of {release}", int(1000 * done), 1000)

        tally = _try(replace(build, version=release), theirs, seed, least, show)
        if tally.first is None:
            return Trial(_adopted(build, release, tally, seed), release, tally, seed)
        if nearest is None or tally.cases > nearest[1].cases:
            nearest = release, tally
    assert nearest is not None
    return Trial(build, *nearest, seed)


def _try(
    certified: Reference,
    theirs: Implementation,
    seed: int,
    least: int,
    show: Callable[[float], None],
) -> Tally:
    """Compare with the rules of a certified build, up to the first mismatch."""
    so_far = [Tally()]

    def keep(tally: Tally) -> None:
        so_far[0] = tally
        show(min(1.0, min(_elements(tally)) / least))

    def cases() -> Iterator[Case]:
        for number in itertools.count():
            if so_far[0].first is not None or min(_elements(so_far[0])) >= least:
                return
            yield case_of(certified.framework, seed, number)

    return check(cases(), theirs, exact(certified), progress=keep)


def _with_other_rules(build: Reference) -> Iterator[str]:
    """Yield certified releases, newest first, of those with the same rules the newest."""
    seen = set()
    for release in reversed(certified_there(build)):
        rules = replace(build, version=release).rules
        if rules not in seen:
            seen.add(rules)
            yield release


def _elements(tally: Tally) -> tuple[int, int]:
    """Return how many values were compared, and how many elements of gradients."""
    values, gradients = (
        sum(count.elements for found, count in tally.counts.items() if found[0] == function)
        for function in ("forward", "gradient")
    )
    return values, gradients


def _adopted(build: Reference, release: str, tally: Tally, seed: int) -> Reference:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    found = Adoption(release, tally.cases, *_elements(tally), seed, today, __version__)
    return replace(build, adopted=found)


# --- where no rules fit ---------------------------------------------------------------------------


def smallest_differing(trial: Trial) -> bytes:
    """Return an ``.npz`` file with the smallest cases in which a build differs from its nearest.

    The text ``report`` in it is JSON. Each case has its number as a prefix: ``0_x`` and
    ``0_cotangent`` are the memory of the two inputs, which the report says how to read,
    ``0_expected`` is what the framework returns and ``0_found`` what the rules give.
    """
    theirs = framework(trial.build.framework)
    ours = exact(replace(trial.build, version=trial.release))
    found = []
    for number in range(max(_SEARCHED, trial.tally.cases)):
        case = case_of(trial.build.framework, trial.seed, number)
        outcomes = theirs(case), ours(case)
        for function in ("forward", "gradient"):
            want, got = (getattr(outcome, function) for outcome in outcomes)
            if want is not None and (details := compare(want, got, case.dtype)[1]):
                found.append((case, function, want, got, details))
    found.sort(key=lambda differing: differing[0].x.size)
    arrays: dict[str, Any] = {}
    shown = []
    for rank, (case, function, want, got, details) in enumerate(found[:_KEPT]):
        shown.append({"function": function, **describe(case), **details})
        inputs = {"x": case.x.buffer, "cotangent": case.g.buffer if case.g else None}
        for name, array in {**inputs, "expected": want, "found": got}.items():
            if isinstance(array, np.ndarray):
                arrays[f"{rank}_{name}"] = array
    report = {
        "portnorm": __version__,
        "build": trial.build.to_json(),
        "nearest": trial.release,
        "seed": trial.seed,
        "differing": len(found),
        "cases": shown,
    }
    file = io.BytesIO()
    np.savez_compressed(file, report=np.array(json.dumps(report)), **arrays)
    return file.getvalue()
