"""What other libraries give: the page says what is stored, and what is installed gives it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import measure_peers
import numpy as np
import peer_tables
import pytest

from tests.conftest import needs_mindspore, needs_torch

ROOT = Path(__file__).parents[2]
STORED = peer_tables.stored()
HERE = ["torch", "mindspore", "portnorm", "mint"]
"""The peers that need no more than the two frameworks."""


@pytest.mark.parametrize("table", peer_tables.TABLES.values(), ids=peer_tables.TABLES.keys())
def test_the_page_shows_what_is_stored(table: Any) -> None:
    page = (ROOT / "migration_guide" / "reference" / "peers.md").read_text(encoding="utf-8")
    assert f"<!-- table: {table.__name__} -->\n{table()}<!-- end of table -->" in page


def test_every_peer_is_stored_with_its_versions() -> None:
    assert list(STORED) == list(measure_peers.PEERS)
    for name, peer in STORED.items():
        packages = measure_peers.PEERS[name].packages
        assert list(peer["versions"]) == ["python", *packages, "numpy"]
        assert all(peer["versions"].values())


def test_every_peer_stands_in_one_table_or_the_other() -> None:
    given, refused = peer_tables.peers(), peer_tables.peers_not_run()
    for peer in STORED.values():
        row = f"| {peer['title']} | {peer_tables.versions_of(peer)} |"
        assert (row in given) != (row in refused)


def test_no_path_of_a_machine_is_stored() -> None:
    text = json.dumps(STORED)
    assert not any(place in text for place in ("/tmp", "/home", "/root", "/usr", "site-packages"))


@needs_torch
@needs_mindspore
@pytest.mark.parametrize("name", HERE)
def test_what_is_installed_here_answers_as_stored(name: str) -> None:
    assert measure_peers.run(sys.executable, "answers", name) == STORED[name]["answers"]


@needs_torch
@needs_mindspore
def test_importing_portnorm_changes_nothing_as_stored() -> None:
    found = measure_peers.run(sys.executable, "changes", "portnorm")
    seconds = found.pop("seconds")
    assert found == {key: STORED["portnorm"]["changes"][key] for key in found}
    assert seconds < 2
    assert not any(found[key] for key in ("replaced modules", "patched", "settings", "files"))


MEDDLER = """
import json, os, sys
json.loads = lambda text: text
json.JSONEncoder.added = 1
os.environ["MEDDLED"] = "1"
sys.modules["json.decoder"] = sys
sys.meta_path.append(object())
open("left.txt", "w").close()
"""
IMPORT_IT = """
import json
import measure_peers
measure_peers.FRAMEWORKS = ("json",)
measure_peers._who_is_torch = lambda: "torch"
peer = measure_peers.Peer("", (), "meddler", None, hosts=("json",))
print(json.dumps(measure_peers.changes(peer)))
"""


def test_changes_of_an_import_are_found(tmp_path: Path) -> None:
    """In a process of its own, for it must not meddle with this one."""
    (tmp_path / "meddler.py").write_text(MEDDLER)
    path = os.pathsep.join([str(ROOT / "tools"), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_IT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["replaced modules"] == ["json.decoder"]
    assert found["patched"] == {"json": 1, "json.encoder.JSONEncoder": 1}
    assert found["settings"] == {"MEDDLED": "1", "finder object": "added"}
    assert found["files"] == ["left.txt", "meddler.py"]


def test_a_peer_without_an_argument_and_one_that_ignores_it_are_told_apart() -> None:
    def plain(x: Any, axis: int = 0) -> Any:
        return x / np.sqrt((x * x).sum(axis, keepdims=True))

    def deaf(x: Any, dim: int = 0, eps: float = 0.0, out: Any = None) -> Any:
        return plain(x, dim)

    def peer(normalize: Any, names: dict[str, str]) -> measure_peers.Functions:
        return measure_peers.Functions(np.array, normalize, np.asarray, lambda f, a: f(a), names)

    without = measure_peers.ask(peer(plain, {"dim": "axis"}))
    ignored = measure_peers.ask(peer(deaf, {"dim": "dim", "eps": "eps", "out": "out"}))
    assert without["eps = 100"] == without["out"] == measure_peers.NO_ARGUMENT
    assert ignored["eps = 100"] == ignored["[1, 2, 3]"] == "0.2673 0.5345 0.8018"
    assert ignored["out"] == "not filled"
    assert ignored["default axis"] == "0"
    assert ignored["p = 3"] == measure_peers.NO_ARGUMENT


def test_an_error_is_told_without_a_path() -> None:
    error = ImportError("cannot import name 'Rel' from 'a.b' (/somewhere/a/b.py)\nsecond line")
    assert measure_peers.error_of(error) == "ImportError: cannot import name 'Rel' from 'a.b'"
