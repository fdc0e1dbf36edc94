"""What was found of a build that no release of portnorm knows, and how it stands in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

LEAST = 100_000_000
"""So many values, and as many elements of gradients, have to agree in every bit."""


@dataclass(frozen=True)
class Adoption:
    """A comparison of a build that is not certified with the rules of one that is.

    `portnorm certify --adopt` makes it; nobody else has seen the comparison.

    Attributes:
        rules: the certified release whose rules gave every bit.
        cases: how many were compared.
        values: elements of results that were.
        gradients: elements of gradients that were.
        seed: of the cases.
        date: the day, as ``"2026-11-27"``.
        portnorm: the version of portnorm.
    """

    rules: str
    cases: int
    values: int
    gradients: int
    seed: int
    date: str
    portnorm: str


def adoption_to_record(adoption: Adoption, build: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON has of it, with a digest of all that was compared.

    Args:
        adoption: of the build.
        build: the record of the reference.
    """
    return {**asdict(adoption), "digest": _digest(asdict(adoption), build)}


def adoption_from_record(record: object, build: Mapping[str, Any]) -> Adoption:
    """Read what `adoption_to_record` returned.

    Raises:
        ValueError: it is something else, was changed, or compared too little.
    """
    if not isinstance(record, dict):
        raise ValueError(f"what was adopted is a JSON object, not {type(record).__name__}")
    kinds = {field.name: int if field.type == "int" else str for field in fields(Adoption)}
    given = {name: value for name, value in record.items() if name != "digest"}
    if given.keys() != kinds.keys() or any(type(given[name]) is not kinds[name] for name in kinds):
        raise ValueError("its 'adopted' is not what `portnorm certify --adopt` writes")
    if record.get("digest") != _digest(given, build):
        raise ValueError(
            "it was changed after `portnorm certify --adopt` wrote it, for its digest is another "
            "one: run that again"
        )
    if min(given["values"], given["gradients"]) < LEAST:
        raise ValueError(f"it rests on fewer than {LEAST:,} elements: adopt the build again")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", given["date"]):
        raise ValueError("its date is none")
    return Adoption(**given)


def _digest(adoption: Mapping[str, Any], build: Mapping[str, Any]) -> str:
    """Return a digest, which notices damage. It is no signature: anybody can compute it."""
    import hashlib
    import json

    # Threads may be set to those of another machine: the rules do not depend on them.
    named = {name: value for name, value in build.items() if name not in ("adopted", "threads")}
    text = json.dumps([named, adoption], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
