"""The tables of the page about other libraries, from migration_guide/data/peers.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from markdown_table import table
from measure_peers import ARGUMENTS, DATA, PEERS, VECTORS

EVERYWHERE = ("python", "numpy")


def stored() -> dict[str, dict[str, Any]]:
    """Return what was measured, by the name of the peer."""
    data: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return data


def peers() -> str:
    """What each peer gives for the same vectors."""
    return _answers(VECTORS)


def peer_arguments() -> str:
    """What each peer makes of torch's arguments, and its gradient at the zero vector."""
    return _answers(ARGUMENTS)


def peer_imports() -> str:
    """What importing each peer changes in the process."""
    rows: dict[str, list[str]] = {}
    for name, peer in stored().items():
        changes = peer["changes"]
        if not PEERS[name].hosts or "error" in changes:
            continue
        module, versions = f"`{peer['module']}`", versions_of(peer)
        takes = f"{changes['seconds']:.1f} s"
        # Two functions of one library are one import.
        rows.setdefault(
            module + versions, [module, versions, takes, changes["torch is"], _changed(changes)]
        )
    headings = ["import of", "measured with", "takes", "then `torch` is", "changed by the import"]
    return table(headings, rows.values())


def peers_not_run() -> str:
    """The peers that give no value here, with the reason and the versions."""
    rows = [
        [peer["title"], versions_of(peer), f"`{reason}`"]
        for peer in stored().values()
        if (reason := reason_not_run(peer))
    ]
    return table(["called", "measured with", "reason"], rows)


def reason_not_run(peer: dict[str, Any]) -> str | None:
    """Return the error that takes the place of every answer, if one does."""
    answers = peer["answers"] or peer["changes"]
    values = {answers.get(vector) for vector in VECTORS}
    shared = values.pop() if len(values) == 1 else None
    error: str | None = answers.get("error", shared)
    return error


def _answers(questions: Collection[str]) -> str:
    rows = [
        [peer["title"], versions_of(peer), *(peer["answers"][question] for question in questions)]
        for peer in stored().values()
        if reason_not_run(peer) is None
    ]
    return table(["called", "measured with", *questions], rows)


def versions_of(peer: dict[str, Any]) -> str:
    """Return the versions that make the difference, as a cell of a table."""
    found = peer["versions"].items()
    return ", ".join(f"{name} {version}" for name, version in found if name not in EVERYWHERE)


def _changed(changes: dict[str, Any]) -> str:
    """Say it in one cell: modules, attributes, settings and files, or nothing."""
    replaced = ", ".join(f"`{name}`" for name in changes["replaced modules"])
    parts = [f"replaces {replaced} in `sys.modules`"] if replaced else []
    parts += [f"attributes of `{owner}`: {n}" for owner, n in changes["patched"].items()]
    parts += [_set(name, value) for name, value in changes["settings"].items()]
    parts += [f"writes `{file}`" for file in changes["files"]]
    return "; ".join(parts) or "nothing found"


def _set(name: str, value: str) -> str:
    kind, _, finder = name.partition(" ")
    return f"`{finder}` in `sys.meta_path`" if kind == "finder" else f"sets `{name}` to {value}"


TABLES: dict[str, Callable[[], str]] = {
    make.__name__: make for make in (peers, peer_arguments, peer_imports, peers_not_run)
}
