"""Which builds have rules, which rules those are, and how references are checked and read."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import platform
import stat
import sys
import tempfile
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import portnorm
from portnorm import CudaDevice, MindSporeReference, StrictParityError, TorchReference
from portnorm.errors import PortnormWarning
from portnorm.reference import (
    CUDA_AS_READ,
    REFERENCES,
    TORCH_CAPABILITIES,
    Reference,
    TorchRules,
    by_framework,
    certified,
    format_references,
    parse_references,
    read_references,
    write_references,
)
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import run_python

GOLDEN = Path(__file__).parent / "golden"
TORCH_BUILDS = [
    (version, row.capability)
    for row in certified()
    if row.framework == "torch"
    for version in row.versions
]
ARM = TorchReference("2.9.1", "neon", threads=4)
ARM_MINDSPORE = MindSporeReference("2.9.0", "aarch64")


# --- rules and the stored outputs -----------------------------------------------------------------


def golden(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def in_words_of_golden(rules: TorchRules) -> dict[str, object]:
    """Return what rules.json has of a set of rules."""
    return {
        "fast_lanes_float32": rules.lanes,
        "fast_lane_sum_fused": dict.fromkeys(rules.tail, rules.lanes_fused),
        "fast_tail": dict(rules.tail),
        "slow_sum_of_squares_fused": rules.slow_fused,
        "sum_lanes_float32": rules.sum_lanes,
        "float16_supported": rules.float16,
        "bfloat16_slow_sum_kept_in_bfloat16": rules.bfloat16_sum_in_bfloat16,
        "single_element_norm_is_abs": not rules.single_element_squared,
        "bfloat16_multi_dim_sum_in_float32": not rules.rounds_inner_sums,
        "gradient_passes_when_norm_equals_eps": rules.gradient_passes_at_floor,
    }


GOLDEN_RULES = {
    tuple(build.split()): {name: value for name, value in rule_set.items() if name != "used_by"}
    for rule_set in golden("rules.json")["rule_sets"]
    for build in rule_set["used_by"]
}


def test_every_build_for_x86_with_stored_outputs_is_certified_and_no_other() -> None:
    stored = {(v, c) for v, entry in golden("index.json")["outputs"].items() for c in entry}
    x86 = {(v, c) for v, c in TORCH_BUILDS if c in ("avx2", "avx512", "default")}
    assert x86 == stored == set(GOLDEN_RULES)
    assert len(stored) == 84


@pytest.mark.parametrize("build", GOLDEN_RULES, ids=" ".join)
def test_the_rules_of_a_build_are_those_behind_its_stored_outputs(build: tuple[str, str]) -> None:
    assert in_words_of_golden(TorchReference(*build).rules) == GOLDEN_RULES[build]


def test_rules_of_another_release_would_be_seen() -> None:
    assert in_words_of_golden(TorchReference("2.13.0").rules) != GOLDEN_RULES["2.14.1", "avx2"]


@pytest.mark.parametrize("build", [b for b in TORCH_BUILDS if b[1] != "cuda"], ids=" ".join)
def test_errors_are_called_as_the_release_calls_them(build: tuple[str, str]) -> None:
    rules = TorchReference(*build).rules

    def observed(call: str) -> str:
        (found,) = (
            entry["result"]
            for entry in golden("behaviour.json")["calls"][call]
            if build[0] in entry["versions"]
        )
        return str(found)

    assert observed("int64 input").startswith(f"{rules.integer_error}: ")
    if rules.float16:
        expected = f"value cannot be converted to type {rules.half_name} without overflow"
        assert observed("float16, eps=1e5") == f"RuntimeError: {expected}"
    else:
        assert "not implemented for 'Half'" in observed("float16, eps=1e5")


NEON = {
    "lanes_fused": True,
    "slow_fused": True,
    "tail": {"float32": "fused", "float64": "fused", "bfloat16": "fused"},
}
PLAIN = {
    "lanes_fused": False,
    "slow_fused": False,
    "tail": {"float32": "plain", "float64": "plain", "bfloat16": "plain"},
}


@pytest.mark.parametrize(
    ("version", "capability", "arithmetic"),
    [
        ("2.5.1", "neon", {**NEON, "lanes": 8, "sum_lanes": 8}),
        *((v, "neon", {**NEON, "lanes": 4, "sum_lanes": 4}) for v in ("2.9.1", "2.10.0", "2.13.0")),
        *(
            (v, "sve256", {**PLAIN, "slow_fused": True, "lanes": 8, "sum_lanes": 8})
            for v in ("2.9.1", "2.13.0")
        ),
    ],
)
def test_on_aarch64_only_the_arithmetic_differs_from_the_same_release_on_x86(
    version: str, capability: str, arithmetic: dict[str, object]
) -> None:
    def values(capability: str) -> dict[str, object]:
        rules = TorchReference(version, capability).rules
        found = {field.name: getattr(rules, field.name) for field in fields(rules)}
        return {**found, "tail": dict(rules.tail)}

    assert values(capability) == {**values("avx2"), **arithmetic}


def test_builds_with_equal_rules_share_one_instance() -> None:
    instances = {id(rules): rules for b in TORCH_BUILDS if (rules := TorchReference(*b).rules)}
    assert len(instances) == len({repr(rules) for rules in instances.values()})
    assert TorchReference("2.11.0+cpu").rules is TorchReference("2.13.0", "avx512", 8).rules
    assert TorchReference("2.0.1").rules is not TorchReference("2.0.1", "avx512").rules


def test_rules_cannot_be_changed() -> None:
    rules = TorchReference().rules
    with pytest.raises(FrozenInstanceError):
        rules.lanes = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        rules.tail["float32"] = "plain"  # type: ignore[index]


@pytest.mark.parametrize(
    ("machine", "versions", "deviates"),
    [
        ("x86_64", "2.0.0 2.7.0 2.7.1 2.7.1.post1 2.7.2 2.8.0 2.9.0 2.10.0", False),
        ("aarch64", "2.7.1 2.9.0", True),
    ],
)
def test_mindspore_fuses_and_flushes_on_aarch64_only(
    machine: str, versions: str, deviates: bool
) -> None:
    (row,) = (r for r in certified() if (r.framework, r.machine) == ("mindspore", machine))
    assert " ".join(row.versions) == versions
    for version in row.versions:
        rules = MindSporeReference(version, machine).rules
        assert {getattr(rules, field.name) for field in fields(rules)} == {deviates}


# --- references -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "name", "certified_one"),
    [
        (TorchReference("1.13.1"), "torch 1.13.1 with capability 'avx2'", "2.0.0, 2.0.1, 2.1.0"),
        (TorchReference("2.13.0a0+git12"), "torch 2.13.0a0+git12 with", "2.14.1, 2.15.0"),
        (TorchReference("2.10.0", "sve256"), "capability 'sve256'", "2.9.1, 2.13.0, 2.14.1"),
        (TorchReference("2.11.0", "neon"), "capability 'neon'", "2.5.1, 2.9.1"),
        (TorchReference("2.15.0", "neon"), "capability 'neon'", "2.13.0, 2.14.1;"),
        (MindSporeReference("2.6.0"), "MindSpore 2.6.0 on x86_64", "2.0.0, 2.7.0"),
        (MindSporeReference("2.10.0", "aarch64"), "2.10.0 on aarch64", "2.7.1, 2.9.0;"),
    ],
)
def test_a_build_without_rules_is_refused_with_those_that_have_some(
    reference: Reference, name: str, certified_one: str
) -> None:
    for _ in range(2):
        with pytest.raises(StrictParityError) as refused:
            _ = reference.rules
        text = str(refused.value)
        assert name in text
        assert certified_one in text
        assert "`portnorm certify`" in text


def test_a_build_that_was_compared_and_differs_is_refused_with_that_reason() -> None:
    with pytest.raises(StrictParityError, match="because its sums are in an order of their own"):
        _ = TorchReference("2.15.0+cpu", "neon").rules


def test_what_follows_a_plus_in_a_version_does_not_count() -> None:
    for version in ("2.13.0+cpu", "2.13.0+cu130", "2.13.0+local.1-build_2"):
        assert TorchReference(version).rules is TorchReference("2.13.0").rules
        assert TorchReference(version).version == version
    assert MindSporeReference("2.9.0+local").rules == MindSporeReference("2.9.0").rules


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "message"),
    [
        (TorchReference, {"version": 2.13}, TypeError, "version must be a str, not float"),
        (TorchReference, {"version": None}, TypeError, "version must be a str, not NoneType"),
        (TorchReference, {"version": ""}, ValueError, "version must be a number such as"),
        (TorchReference, {"version": "latest"}, ValueError, "not 'latest'"),
        (TorchReference, {"version": "2.13.0\n"}, ValueError, r"not '2.13.0\\n'"),
        (TorchReference, {"capability": "AVX2"}, ValueError, "capability must be one of 'avx2', "),
        (TorchReference, {"capability": "vsx"}, ValueError, "not 'vsx'"),
        (TorchReference, {"capability": ["avx2"]}, TypeError, "capability must be a str, not list"),
        (TorchReference, {"threads": 0}, ValueError, "threads must be 1 or more"),
        (TorchReference, {"threads": 2.0}, TypeError, "threads must be an int, not float"),
        (TorchReference, {"threads": True}, TypeError, "threads must be an int, not bool"),
        (TorchReference, {"threads": "2"}, TypeError, "threads must be an int, not str"),
        (TorchReference, {"machine": "x86_64"}, TypeError, "machine"),
        (MindSporeReference, {"version": 2}, TypeError, "version must be a str, not int"),
        (MindSporeReference, {"version": "v2.9"}, ValueError, "not 'v2.9'"),
        (MindSporeReference, {"machine": "arm64"}, ValueError, "one of 'x86_64', 'aarch64', not"),
        (MindSporeReference, {"machine": None}, TypeError, "machine must be a str, not NoneType"),
        (MindSporeReference, {"threads": 1}, TypeError, "threads"),
    ],
)
def test_an_argument_that_is_no_part_of_a_build_is_refused(
    kind: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        kind(**arguments)


@pytest.mark.parametrize("reference", [ARM, ARM_MINDSPORE])
def test_a_reference_is_a_value(reference: Reference) -> None:
    rules = reference.rules
    for other in (pickle.loads(pickle.dumps(reference)), copy.deepcopy(reference)):
        assert other == reference
        assert hash(other) == hash(reference)
        assert other.rules is rules
    assert reference != type(reference)()
    with pytest.raises(FrozenInstanceError):
        reference.version = "2.0.0"  # type: ignore[misc]


def test_a_kind_of_version_that_compares_as_a_number_becomes_a_str() -> None:
    class Version(str):
        __slots__ = ()

    assert type(TorchReference(Version("2.13.0")).version) is str


# --- JSON -----------------------------------------------------------------------------------------

VERSIONS = st.from_regex(r"[0-9]+(\.[0-9]+){0,3}(\+[a-z0-9.]{1,8})?", fullmatch=True)
TORCH_REFERENCES = st.builds(
    TorchReference, VERSIONS, st.sampled_from(TORCH_CAPABILITIES), st.integers(1, 10**6)
)
MINDSPORE_REFERENCES = st.builds(
    MindSporeReference, VERSIONS, st.sampled_from(["x86_64", "aarch64"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
COMPLETE: dict[str, dict[str, object]] = {
    "torch": {"framework": "torch", "version": "2.13.0", "capability": "avx2", "threads": 1},
    "mindspore": {"framework": "mindspore", "version": "2.10.0", "machine": "x86_64"},
}


@given(TORCH_REFERENCES, MINDSPORE_REFERENCES)
def test_a_reference_comes_back_from_json_as_it_was(
    torch: TorchReference, mindspore: MindSporeReference
) -> None:
    assert TorchReference.from_json(torch.to_json()) == torch
    assert MindSporeReference.from_json(mindspore.to_json()) == mindspore
    assert parse_references(torch.to_json()) == (torch,)
    both = format_references([torch, mindspore])
    assert parse_references(both) == (torch, mindspore)
    assert TorchReference.from_json(both) == torch
    assert MindSporeReference.from_json(both) == mindspore


def accepted_or_refused(text: str) -> tuple[Reference, ...] | None:
    """Return None where a text is refused in the one way in which texts are."""
    try:
        return parse_references(text)
    except ValueError:
        return None


@given(st.text())
def test_a_text_that_is_no_json_is_refused(text: str) -> None:
    assert accepted_or_refused(text) is None


@given(JSON)
def test_json_of_anything_else_is_refused(value: object) -> None:
    assert accepted_or_refused(json.dumps(value)) is None


@pytest.mark.parametrize("framework", REFERENCES)
@given(data=st.data())
def test_a_record_in_which_one_value_is_another_is_refused_or_is_read_as_it_stands(
    framework: str, data: st.DataObject
) -> None:
    record = dict(COMPLETE[framework])
    key = data.draw(st.sampled_from([*record, "comment"]))
    record[key] = data.draw(JSON | st.sampled_from(list(COMPLETE)))
    read = accepted_or_refused(json.dumps(record))
    assert read is None or [json.loads(r.to_json()) for r in read] == [record]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: "),
        ("2.13.0", "not JSON: "),
        ("1" * 5000, "not JSON: "),
        ("[" * 10**5, "nested too deeply"),
        ("[]", "the list holds no reference"),
        ("null", "a reference is a JSON object, not NoneType"),
        ('["torch"]', "a reference is a JSON object, not str"),
        ("{}", "its 'framework' must be one of 'torch', 'mindspore'"),
        ('{"framework": ["torch"]}', "its 'framework' must be one of 'torch', 'mindspore'"),
        ('{"framework": "torch"}', "of torch lacks 'capability', 'threads', 'version'"),
        ('{"framework": "torch", "framework": "torch"}', "a key occurs twice"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_references(text)


@pytest.mark.parametrize(
    ("framework", "changes", "message"),
    [
        ("torch", {"machine": "x86_64"}, "a reference of torch cannot have 'machine'"),
        ("mindspore", {"threads": 1}, "a reference of mindspore cannot have 'threads'"),
        ("torch", {"threads": 1.0}, "threads must be an int, not float"),
        ("torch", {"threads": math.nan}, "threads must be an int, not float"),
        ("torch", {"threads": -1}, "threads must be 1 or more"),
        ("torch", {"version": None}, "version must be a str, not NoneType"),
        ("torch", {"capability": "sse"}, "capability must be one of "),
        ("torch", {"__class__": "os.system"}, "cannot have '__class__'"),
        ("mindspore", {"machine": 1}, "machine must be a str, not int"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(
    framework: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse_references(json.dumps({**COMPLETE[framework], **changes}))


def test_a_text_with_references_of_the_other_kind_only_is_refused() -> None:
    with pytest.raises(ValueError, match="the text holds no reference of mindspore"):
        MindSporeReference.from_json(ARM.to_json())
    with pytest.raises(ValueError, match="there are two references of torch"):
        TorchReference.from_json(json.dumps([COMPLETE["torch"], COMPLETE["torch"]]))
    with pytest.raises(TypeError, match="text must be a str, not bytes"):
        TorchReference.from_json(ARM.to_json().encode())  # type: ignore[arg-type]


def test_references_are_told_apart_by_framework() -> None:
    found = by_framework([ARM_MINDSPORE, ARM])
    assert found == {"mindspore": ARM_MINDSPORE, "torch": ARM}
    with pytest.raises(TypeError, match="reference must be a TorchReference or a MindSporeRef"):
        by_framework(["torch"])  # type: ignore[list-item]


# --- files ----------------------------------------------------------------------------------------


def test_a_file_gives_back_what_was_written_and_lies_there_alone(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    for references in ([ARM], [ARM, ARM_MINDSPORE]):
        write_references(path, references)
        assert read_references(path) == tuple(references)
        assert os.listdir(tmp_path) == ["reference.json"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_link_still_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "folder" / "reference.json")
    write_references(link, [ARM])
    assert link.is_symlink()
    assert read_references(tmp_path / "folder" / "reference.json") == (ARM,)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reference.json"
    write_references(path, [ARM])

    def no_space(source: str, target: str) -> None:
        assert read_references(source) == (ARM_MINDSPORE,)
        raise OSError(28, "No space left on device", source, None, target)

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(
        OSError, match=r"reference\.json: expected a file .*: No space left on device"
    ):
        write_references(path, [ARM_MINDSPORE])
    assert read_references(path) == (ARM,)
    assert os.listdir(tmp_path) == ["reference.json"]


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        OSError, match=r"/none/reference\.json: expected a file that can be written: No such file"
    ):
        write_references(tmp_path / "none" / "reference.json", [ARM])
    with pytest.raises(OSError, match="expected a file or a new name, found a directory"):
        write_references(tmp_path, [ARM])
    with pytest.raises(ValueError, match="there are two references of torch"):
        write_references(tmp_path / "reference.json", [ARM, TorchReference()])
    assert os.listdir(tmp_path) == []


@given(st.binary())
def test_a_file_of_other_bytes_is_refused_by_name(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.json"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"reference\.json: "):
            read_references(path)


def test_what_is_no_file_is_refused_by_name_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, found in [
        (tmp_path / "pipe", "a device or a pipe"),
        (Path("/dev/zero"), "a device or a pipe"),
        (tmp_path, "a directory"),
    ]:
        with pytest.raises(OSError, match=rf"{path}: expected a file, found {found}"):
            read_references(path)


def test_at_most_a_mebibyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    text = ARM.to_json().encode()
    path.write_bytes(text + b" " * (2**20 - len(text)))
    assert read_references(path) == (ARM,)
    path.write_bytes(text + b" " * (2**20 - len(text) + 1))
    with pytest.raises(ValueError, match=r"reference\.json: expected at most 1048576 bytes"):
        read_references(path)
    os.truncate(path, 2**40)  # a hole: it takes no space, and would take all memory
    with pytest.raises(ValueError, match="expected at most 1048576 bytes"):
        read_references(path)


# --- the build that is installed ------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_the_current_reference_is_the_torch_of_the_process(capability: str) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the capabilities of x86-64")
    code = """
import torch
from portnorm import TorchReference
torch.set_num_threads(3)
print(torch.backends.cpu.get_cpu_capability(), torch.__version__)
print(TorchReference.current().to_json())
"""
    environment = {"ATEN_CPU_CAPABILITY": capability}
    used, record = run_python(code, environment=environment).splitlines()
    reported, version = used.rsplit(maxsplit=1)  # torch 2.5 reports "NO AVX"
    if {"NO AVX": "default"}.get(reported, reported.lower()) != capability:
        pytest.skip(f"this CPU has no {capability}")
    assert TorchReference.from_json(record) == TorchReference(version, capability, threads=3)


@needs_torch
def test_the_current_reference_warns_where_torch_flushes_subnormals() -> None:
    import torch

    if not torch.set_flush_denormal(True):
        pytest.skip("this machine cannot flush subnormals")
    try:
        with pytest.warns(PortnormWarning, match="flushes subnormal") as warned:
            TorchReference.current()
    finally:
        torch.set_flush_denormal(False)
    assert warned[0].filename == __file__
    TorchReference.current()  # a warning is an error here


@needs_mindspore
def test_the_current_reference_is_the_mindspore_of_the_process() -> None:
    import mindspore

    expected = MindSporeReference(mindspore.__version__, platform.machine())
    assert MindSporeReference.current() == expected


def install(
    monkeypatch: pytest.MonkeyPatch, *, machine: str, system: str = "linux", **torch: Any
) -> None:
    """Let the process look as if it ran on another machine, with another torch."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", system)
    module = SimpleNamespace(get_num_threads=lambda: 4, full=full, float32="f4", **torch)
    monkeypatch.setitem(sys.modules, "torch", module)  # type: ignore[arg-type]
    mindspore = SimpleNamespace(__version__="2.9.0")
    monkeypatch.setitem(sys.modules, "mindspore", mindspore)  # type: ignore[arg-type]


def full(shape: tuple[int, ...], value: float, dtype: str, device: str) -> Any:
    return np.full(shape, value, dtype)


def reports(capability: str, version: str = "2.13.0+cpu") -> dict[str, Any]:
    cpu = SimpleNamespace(get_cpu_capability=lambda: capability)
    return {"backends": SimpleNamespace(cpu=cpu), "__version__": version}


@pytest.mark.parametrize(
    ("machine", "reported", "capability"),
    [
        ("x86_64", "AVX512", "avx512"),
        ("x86_64", "AVX2", "avx2"),
        ("x86_64", "DEFAULT", "default"),
        ("x86_64", "NO AVX", "default"),
        ("aarch64", "SVE256", "sve256"),
        ("aarch64", "DEFAULT", "neon"),
        ("aarch64", "NO AVX", "neon"),
    ],
)
def test_what_torch_reports_is_named_by_machine(
    machine: str, reported: str, capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, machine=machine, **reports(reported))
    assert TorchReference.current() == TorchReference("2.13.0+cpu", capability, 4)
    assert MindSporeReference.current() == MindSporeReference("2.9.0", machine)


def test_torch_2_0_tells_its_capability_in_a_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "PyTorch built with:\n  - GCC 9.3\n  - CPU capability usage: AVX2\n  - CUDA Runtime 11.7"
    torch = {
        "backends": SimpleNamespace(),
        "__config__": SimpleNamespace(show=lambda: text),
        "__version__": "2.0.1+cu117",
    }
    install(monkeypatch, machine="x86_64", **torch)
    assert TorchReference.current() == TorchReference("2.0.1+cu117", "avx2", 4)


@pytest.mark.parametrize(
    ("machine", "system", "reported", "message"),
    [
        ("x86_64", "win32", "AVX2", "no build of torch for win32 on x86_64 is certified"),
        ("arm64", "darwin", "DEFAULT", "for darwin on arm64 is certified, only builds for linux"),
        ("ppc64le", "linux", "VSX", "for linux on ppc64le is certified"),
        ("aarch64", "linux", "SVE128", "'SVE128', which is not certified on aarch64"),
        ("x86_64", "linux", "SVE256", "'SVE256', which is not certified on x86_64"),
    ],
)
def test_a_machine_for_which_nothing_is_certified_is_refused(
    machine: str, system: str, reported: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, machine=machine, system=system, **reports(reported))
    with pytest.raises(StrictParityError, match=message):
        TorchReference.current()
    if (machine, system) not in (("aarch64", "linux"), ("x86_64", "linux")):
        with pytest.raises(StrictParityError, match="no build of mindspore for "):
            MindSporeReference.current()


@pytest.mark.parametrize("kind", ["TorchReference", "MindSporeReference"])
def test_without_the_framework_there_is_no_current_reference(kind: str) -> None:
    code = f"""
import portnorm
print(portnorm.{kind}().rules is not None)
try:
    portnorm.{kind}.current()
except ModuleNotFoundError as error:
    print(error.name)
"""
    framework = getattr(portnorm, kind).framework
    assert run_python(code, blocked=["torch", "mindspore"]) == f"True\n{framework}\n"


# --- CUDA devices ---------------------------------------------------------------------------------

A100 = CudaDevice.named("A100")


def test_a_device_goes_through_json_and_pickle() -> None:
    reference = TorchReference("2.11.0", "cuda", device=A100)
    for copied in (
        TorchReference.from_json(reference.to_json()),
        pickle.loads(pickle.dumps(reference)),
        copy.deepcopy(reference),
    ):
        assert copied == reference
        assert copied.device.name == "A100"
        assert copied.rules is reference.rules
    assert "device" not in json.loads(TorchReference().to_json())
    assert "device" not in repr(TorchReference())


def test_devices_are_compared_by_what_matters() -> None:
    assert CudaDevice(108, 2048, "mine") == A100 != CudaDevice(108, 1536, "A100")
    ours, theirs = (TorchReference("2.11.0", "cuda", device=d) for d in (A100, CudaDevice(1, 1)))
    assert ours.is_same_build(TorchReference("2.11.0+cu130", "cuda", device=A100))
    assert not ours.is_same_build(theirs)
    assert not ours.is_same_build(TorchReference("2.12.0", "cuda", device=A100))
    assert TorchReference("2.11.0", "cuda").device == CudaDevice.named("H100 SXM")


def test_releases_that_were_only_read_are_refused() -> None:
    assert len(CUDA_AS_READ) > 1
    for version in CUDA_AS_READ:
        if version != "2.11.0":
            with pytest.raises(StrictParityError, match="portnorm certify --device cuda"):
                _ = TorchReference(version, "cuda").rules
    assert TorchReference("2.11.0+cu130", "cuda").rules is CUDA_AS_READ["2.11.0"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CudaDevice("132", 2048), TypeError, "multiprocessors must be an int, not str"),
        (lambda: CudaDevice(132, 0), ValueError, "threads_per_multiprocessor must be 1 or more"),
        (lambda: CudaDevice(132, 2048, None), TypeError, "name must be a str"),
        (lambda: CudaDevice.named("H1000"), ValueError, "one of 'H100 SXM', .*, not 'H1000'"),
        (lambda: TorchReference(device=A100), ValueError, "device is for the capability 'cuda'"),
        (lambda: TorchReference("2.11.0", "cuda", device=7), TypeError, "device must be a CudaDev"),
        (lambda: TorchReference.current("mps"), ValueError, "device must be one of 'cpu', 'cuda'"),
    ],
)
def test_a_device_that_cannot_be_is_refused(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("7", "a device is a JSON object, not int"),
        ('{"multiprocessors": 7}', "a device lacks 'name', 'threads_per_multiprocessor'"),
        (
            '{"multiprocessors": 7, "threads_per_multiprocessor": 7, "name": "", "warp": 32}',
            "a device cannot have 'warp'",
        ),
        ('{"multiprocessors": [], "threads_per_multiprocessor": 7, "name": ""}', "must be an int"),
    ],
)
def test_json_without_a_device_that_can_be_is_refused(device: str, message: str) -> None:
    record = '{"framework": "torch", "version": "2.11.0", "capability": "cuda", "threads": 1'
    with pytest.raises(ValueError, match=message):
        TorchReference.from_json(f'{record}, "device": {device}}}')


def test_the_live_device_is_what_torch_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    properties = SimpleNamespace(
        multi_processor_count=7, max_threads_per_multi_processor=1024, name="seven"
    )
    cuda = SimpleNamespace(get_device_properties=lambda d: asked.append(d) or properties)
    torch = SimpleNamespace(__version__="2.11.0+cu130", cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = TorchReference.current("cuda:1")
    assert found == TorchReference("2.11.0+cu130", "cuda", device=CudaDevice(7, 1024))
    assert found.device is not None
    assert (found.device.name, asked) == ("seven", ["cuda:1"])


def test_a_device_of_another_vendor_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(__version__="2.11.0", version=SimpleNamespace(hip="6.4"))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(StrictParityError, match="torch for ROCm"):
        TorchReference.current("cuda")


def test_without_a_device_torch_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str) -> None:
        raise RuntimeError("No NVIDIA driver\nPlease go and look for one")

    torch = SimpleNamespace(
        __version__="2.11.0", cuda=SimpleNamespace(get_device_properties=refuse)
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(StrictParityError, match=r"'cuda': No NVIDIA driver$"):
        TorchReference.current("cuda")
