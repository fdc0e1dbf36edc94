"""The figures about other tools: torch's own answers and MindSpore's are measured again."""

from __future__ import annotations

import json
import sys

import mapping_tables
import measure_peers
import pytest

from tests.conftest import needs_mindspore, needs_torch

STORED = json.loads(mapping_tables.PEERS.read_text(encoding="utf-8"))


def test_every_peer_has_a_version_and_all_answers() -> None:
    assert STORED.keys() == measure_peers.PEERS.keys()
    for peer in STORED.values():
        assert peer["version"]
        assert peer["answers"].keys() == mapping_tables.PEER_QUESTIONS.keys()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("torch", marks=needs_torch),
        pytest.param("mindspore.mint", marks=needs_mindspore),
    ],
)
def test_what_is_installed_here_answers_as_stored(name: str) -> None:
    found = measure_peers.ask(sys.executable, measure_peers.PEERS[name])
    for key in measure_peers.QUESTIONS:
        assert found[key] == STORED[name]["answers"][key]


def test_another_answer_is_found() -> None:
    code = "import math as lib"
    found = measure_peers.ask(sys.executable, code)
    assert found["unit"] != STORED["torch"]["answers"]["unit"]
