"""`portnorm watch --json` where something goes wrong: the script's result and the rest survive."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portnorm import cli
from portnorm.watch.log import Log, describe
from portnorm.watch.records import Record
from tests.conftest import needs_torch

pytestmark = needs_torch
BEFORE = "import os, sys, torch\nimport torch.nn.functional as F\n"
CALL = "F.normalize(torch.ones(2, 2))\n"


@pytest.fixture
def watched(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a script, and return its exit code, the records, and what stderr has."""

    def run(source: str, name: str = "script.py", record: str = "found.json") -> Any:
        path = tmp_path / name
        path.write_text(BEFORE + source)
        try:
            code: object = cli.main(
                ["watch", "--host", "torch", "--json", str(tmp_path / record), str(path)]
            )
        except SystemExit as error:
            code = error.code
        written = tmp_path / record
        found = json.loads(written.read_text()) if written.exists() else None
        return code, found, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    "dim",
    [
        "type('D', (), {'__index__': lambda s: 1, '__repr__': lambda s: 1 / 0})()",
        "torch.tensor(1)",
        "[torch.tensor(1)]",
    ],
)
def test_a_dim_of_any_kind_is_recorded_by_its_number(watched: Any, dim: str) -> None:
    code, found, err = watched(
        f"try:\n    F.normalize(torch.ones(2, 2), dim={dim})\nexcept Exception:\n    pass\n{CALL}"
    )
    assert code == 0, err
    assert [record["calls"] for record in found["records"]][-1] == 1
    assert all(record["dim"] in (1, [1]) for record in found["records"])
    assert "cannot be shown" not in err


def test_a_name_that_is_no_unicode_is_recorded(watched: Any) -> None:
    name = os.fsdecode(b"odd\xff\x1b.py")
    code, found, err = watched(CALL, name)
    assert code == 0, err
    assert found["records"][0]["file"].endswith(name)
    assert "\x1b" not in err


@pytest.mark.parametrize(("end", "expected"), [("", 2), ("sys.exit(0)", 2), ("sys.exit(3)", 3)])
@pytest.mark.parametrize("fault", ["vanished", "full"])
def test_a_record_that_cannot_be_written_leaves_the_result_of_the_script(
    watched: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    end: str,
    expected: int,
) -> None:
    (tmp_path / "folder").mkdir()
    gone = ""
    if fault == "vanished":
        gone = f"os.rmdir({str(tmp_path / 'folder')!r})\n"
    else:

        def full(file: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
    code, found, err = watched(CALL + gone + end, record="folder/found.json")
    assert (code, found) == (expected, None)
    reason = "No space left on device" if fault == "full" else "No such file or directory"
    assert err.splitlines()[-1] == (
        f"portnorm: {tmp_path}/folder/found.json: expected a file that can be written: {reason}"
    )
    assert "1 call from 1 line" in err
    if fault == "full":
        assert list((tmp_path / "folder").iterdir()) == []


def test_a_record_is_written_where_it_was_named_wherever_the_script_goes(
    watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "s.py").write_text(f"{BEFORE}{CALL}os.chdir('other')\n")
    assert cli.main(["watch", "--host", "torch", "--json", "found.json", "s.py"]) == 0
    assert (tmp_path / "found.json").exists()


def test_a_script_that_closes_its_streams_has_a_record(watched: Any) -> None:
    code, found, _ = watched(
        f"{CALL}class Closed:\n    def write(self, text):\n"
        "        raise OSError(9, 'closed')\n"
        "sys.stderr = Closed()\n"
    )
    assert code == 0
    assert len(found["records"]) == 1


def test_a_hook_of_the_script_that_fails_leaves_its_exit_code_and_the_record(watched: Any) -> None:
    code, found, err = watched(f"{CALL}sys.excepthook = lambda *a: [][1]\nraise ValueError('mine')")
    assert (code, len(found["records"])) == (1, 1)
    assert "ValueError: mine" in err
    assert "IndexError" in err


class Broken:
    """Counts on an accelerator that fails before it is asked."""

    def take(self) -> Any:
        raise RuntimeError("device lost")


def test_counts_of_an_accelerator_that_failed_leave_the_other_records() -> None:
    from portnorm.watch import Watch

    log = Watch(["torch"])
    call = describe(None, "torch.nn.functional.normalize", "float32", 2, 2.0, 1, 1e-12)
    log._log = Log()
    log._log._records[call] = Record(call, (1e-12, 1e-2), calls=1, elsewhere={"cuda:0": Broken()})
    (record,) = json.loads(log.to_json())["records"]
    assert record["calls"] == 1
    assert record["error"] == "cuda:0: RuntimeError: device lost"
