"""PN132: two forms of normalization in one file, or in an original and its port."""

from __future__ import annotations

from collections.abc import Iterator

from portnorm.check.rule import Problem, Rule
from portnorm.check.view import Normalization, View


def _find(view: View) -> Iterator[Problem]:
    known = list(view.original)
    whose = "in line {} of the original" if view.original else "in line {}"
    for node, found in view.normalizations:
        others = [one for one in known if _is_comparable(found, one)]
        differs = all(found.convention.differs_from(one.convention) for one in others)
        if others and differs:
            first = others[0].convention
            yield Problem(
                node,
                f"{found.convention} here and {first} {whose.format(others[0].line)}: the numbers "
                f"differ {found.convention.where_it_differs_from(first)}",
            )
        if not view.original or (others and differs):
            known.append(found)  # so that a form is reported once


def _is_comparable(a: Normalization, b: Normalization) -> bool:
    """Return whether two are meant to have the same numbers; an RMS norm is another function."""
    return (a.convention.form.name == "rms") == (b.convention.form.name == "rms")


RULE = Rule(
    code="PN132",
    why="The same vectors have other numbers in one place than in the other.",
    has_fix=False,
    find=_find,
)
