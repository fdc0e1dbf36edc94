"""Who sees which options, and when."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import portnorm
from portnorm import (
    MindSporeReference,
    Options,
    StrictParityError,
    TorchReference,
    get_options,
    set_options,
)
from portnorm.options import resolve_parity
from portnorm.reference import write_references
from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import run_python

NATIVE = Options(parity="native")
ARM = TorchReference("2.9.1", "neon", threads=4)
ARM_MINDSPORE = MindSporeReference("2.9.0", "aarch64")


# --- setting and restoring ------------------------------------------------------------------------


def test_the_defaults() -> None:
    assert Options() == Options(
        parity="semantic",
        unsupported_p="warn",
        torch_reference=None,
        mindspore_reference=None,
    )


def test_an_option_holds_until_the_end_of_the_with_statement() -> None:
    before = get_options()
    with set_options(parity="native"):
        assert get_options() == Options("native", before.unsupported_p)
    assert get_options() == before


def test_without_a_with_statement_an_option_stays() -> None:
    def set_and_get() -> Options:
        set_options(parity="strict")
        return get_options()

    assert contextvars.copy_context().run(set_and_get) == Options(parity="strict")


def test_an_inner_scope_changes_only_what_it_names() -> None:
    with set_options(parity="native"):
        with set_options(unsupported_p="raise"):
            assert get_options() == Options("native", "raise")
            with set_options(parity="strict", unsupported_p="allow"):
                assert get_options() == Options("strict", "allow")
            assert get_options() == Options("native", "raise")
        assert get_options() == NATIVE


def test_an_exception_restores_the_options_and_passes_through() -> None:
    before = get_options()
    with pytest.raises(KeyError), set_options(parity="native"):
        raise KeyError
    assert get_options() == before


def test_none_leaves_an_option_as_it_is() -> None:
    with set_options(parity="native"), set_options(parity=None, unsupported_p=None):
        assert get_options() == NATIVE


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"parity": "exact"},
            ValueError,
            "parity must be one of 'native', 'semantic', 'strict', not 'exact'",
        ),
        (
            {"unsupported_p": "ignore"},
            ValueError,
            "unsupported_p must be one of 'warn', 'raise', 'allow', not 'ignore'",
        ),
        ({"parity": "native", "unsupported_p": "no"}, ValueError, "unsupported_p must be"),
        ({"parity": "Native"}, ValueError, "parity must be"),
        ({"parity": 1}, ValueError, "parity must be"),
        ({"parity": ""}, ValueError, "parity must be"),
        ({"parity": ["native"]}, ValueError, "parity must be"),
        ({"level": "native"}, TypeError, "level"),
        (
            {"reference": "2.13.0"},
            TypeError,
            "reference must be a TorchReference or a MindSporeReference, not str",
        ),
        ({"reference": 2}, TypeError, "reference must be .*, not int"),
        ({"reference": [ARM, None]}, TypeError, "reference must be .*, not NoneType"),
        ({"reference": [ARM, TorchReference()]}, ValueError, "two references of torch"),
        ({"parity": "exact", "reference": ARM}, ValueError, "parity must be"),
    ],
)
def test_an_unknown_name_or_value_is_refused_and_changes_nothing(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = get_options()
    with pytest.raises(error, match=message):
        set_options(**arguments)
    assert get_options() == before


def test_options_cannot_be_given_by_position_or_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        set_options("native")  # type: ignore[misc]
    with pytest.raises(AttributeError):
        get_options().parity = "native"  # type: ignore[misc]
    with pytest.raises(ValueError, match="parity must be one of"):
        Options(parity="exact")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="torch_reference must be a TorchReference, not Mind"):
        Options(torch_reference=MindSporeReference())  # type: ignore[arg-type]


def test_a_level_that_is_given_goes_before_the_option() -> None:
    with set_options(parity="native"):
        assert resolve_parity(None) == "native"
        assert resolve_parity("semantic") == "semantic"
    with pytest.raises(ValueError, match=r"parity must be one of .*, not 'exact'"):
        resolve_parity("exact")  # type: ignore[arg-type]


# --- references -----------------------------------------------------------------------------------


def test_a_reference_replaces_the_one_of_its_kind_only() -> None:
    with set_options(reference=ARM):
        assert get_options() == Options(torch_reference=ARM)
        with set_options(reference=ARM_MINDSPORE):
            assert get_options() == Options(torch_reference=ARM, mindspore_reference=ARM_MINDSPORE)
        assert get_options() == Options(torch_reference=ARM)


@pytest.mark.parametrize("pair", [(ARM, ARM_MINDSPORE), [ARM_MINDSPORE, ARM], {ARM, ARM_MINDSPORE}])
def test_references_of_both_kinds_are_set_at_once(pair: Any) -> None:
    with set_options(reference=pair, parity="strict"):
        assert get_options() == Options("strict", "warn", ARM, ARM_MINDSPORE)
    assert get_options().torch_reference is None


def test_off_its_own_framework_a_function_has_fixed_defaults_and_the_repr_says_so() -> None:
    options = Options()
    assert options.torch_reference_on("mindspore") == TorchReference("2.13.0", "avx2", threads=1)
    assert options.mindspore_reference_on("torch") == MindSporeReference("2.10.0", "x86_64")
    assert f"<on torch the installed one, else {TorchReference()}>" in repr(options)
    assert "<on mindspore the installed one, else MindSporeReference(" in repr(options)
    assert f"torch_reference={ARM}, " in repr(Options(torch_reference=ARM))


def test_a_reference_that_is_set_holds_on_both_frameworks() -> None:
    options = Options(torch_reference=ARM, mindspore_reference=ARM_MINDSPORE)
    for host in ("torch", "mindspore"):
        assert options.torch_reference_on(host) is ARM
        assert options.mindspore_reference_on(host) is ARM_MINDSPORE


@needs_mindspore
def test_on_mindspore_its_own_function_has_the_installed_build() -> None:
    import mindspore

    assert Options().mindspore_reference_on("mindspore").version == mindspore.__version__


@needs_torch
def test_on_torch_its_own_function_has_the_installed_build_and_its_threads() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        for threads in (1, 3, 1):
            torch.set_num_threads(threads)
            assert Options().torch_reference_on("torch") == TorchReference.current()
    finally:
        torch.set_num_threads(before)


def test_an_installed_build_that_is_not_certified_is_refused_with_the_default_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    future = SimpleNamespace(
        __version__="9.9.0+cpu",
        get_num_threads=lambda: 97,
        backends=SimpleNamespace(cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX2")),
    )
    monkeypatch.setitem(sys.modules, "torch", future)
    for _ in range(2):
        with pytest.raises(StrictParityError) as refused:
            Options().torch_reference_on("torch")
        text = str(refused.value)
        assert text.startswith("no reference is set, so that parity='strict' takes the installed ")
        assert "torch 9.9.0+cpu with capability" in text
        assert f"set_options(reference=TorchReference()) takes {TorchReference()}" in text


def test_a_build_that_is_not_certified_can_be_named_and_is_refused_when_it_is_used() -> None:
    with set_options(reference=TorchReference("1.13.1")):
        reference = get_options().torch_reference
        with pytest.raises(StrictParityError, match=r"torch 1\.13\.1"):
            _ = reference.rules


# --- threads and tasks ----------------------------------------------------------------------------


def in_a_thread(function: Callable[[], object]) -> list[object]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results


def test_a_new_thread_starts_from_the_environment() -> None:
    with set_options(parity="native"):
        assert in_a_thread(get_options) == [Options()]


def test_a_copied_context_carries_the_options_into_a_thread() -> None:
    with set_options(parity="native"):
        context = contextvars.copy_context()
    assert in_a_thread(lambda: context.run(get_options)) == [NATIVE]


def test_what_a_thread_sets_stays_in_it() -> None:
    before = get_options()
    in_a_thread(lambda: set_options(parity="native"))
    assert get_options() == before


def test_threads_at_work_at_once_keep_their_own_options() -> None:
    all_are_set = threading.Barrier(3, timeout=60)
    seen: dict[str, str] = {}

    def work(level: Any) -> None:
        with set_options(parity=level):
            all_are_set.wait()
            seen[level] = get_options().parity

    threads = [threading.Thread(target=work, args=[level]) for level in ("native", "strict")]
    for thread in threads:
        thread.start()
    all_are_set.wait()
    assert get_options().parity == "semantic"
    for thread in threads:
        thread.join()
    assert seen == {"native": "native", "strict": "strict"}


def test_tasks_that_take_turns_keep_their_own_options() -> None:
    async def work(level: Any) -> list[str]:
        seen = []
        with set_options(parity=level):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(get_options().parity)
        return [*seen, get_options().parity]

    async def main() -> list[list[str]]:
        return await asyncio.gather(work("native"), work("strict"))

    with set_options(parity="semantic"):
        results = asyncio.run(main())
    assert results == [["native"] * 3 + ["semantic"], ["strict"] * 3 + ["semantic"]]


# --- environment ----------------------------------------------------------------------------------

SHOW = "import portnorm; o = portnorm.get_options(); print(o.parity, o.unsupported_p)"
SHOW_REFERENCES = """
import portnorm
options = portnorm.get_options()
torch, mindspore = options.torch_reference_on("mindspore"), options.mindspore_reference_on("torch")
print(torch.to_json(), mindspore.to_json(), sep="\\n")
"""


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, "semantic warn"),
        ({"PORTNORM_PARITY": "native"}, "native warn"),
        ({"PORTNORM_UNSUPPORTED_P": "raise"}, "semantic raise"),
        ({"PORTNORM_PARITY": "strict", "PORTNORM_UNSUPPORTED_P": "allow"}, "strict allow"),
        ({"PORTNORM_PARITY": ""}, "semantic warn"),
    ],
)
def test_environment_variables_give_the_options_to_start_from(
    environment: dict[str, str], options: str
) -> None:
    assert run_python(SHOW, environment=environment) == f"{options}\n"


def test_set_options_goes_before_the_environment() -> None:
    code = f"import portnorm; portnorm.set_options(parity='strict'); {SHOW}"
    environment = {"PORTNORM_PARITY": "native", "PORTNORM_UNSUPPORTED_P": "allow"}
    assert run_python(code, environment=environment) == "strict allow\n"


@pytest.mark.parametrize("first_use", ["get_options()", "set_options(parity='native')"])
@pytest.mark.parametrize("variable", ["PORTNORM_PARITY", "PORTNORM_UNSUPPORTED_P"])
def test_an_unknown_value_in_the_environment_is_refused_at_first_use_not_at_import(
    variable: str, first_use: str
) -> None:
    code = f"""
import portnorm
print("imported")
try:
    portnorm.{first_use}
except ValueError as error:
    print(error)
"""
    imported, message = run_python(code, environment={variable: "exact"}).splitlines()
    assert imported == "imported"
    assert message.startswith(f"{variable} must be one of ")
    assert message.endswith(", not 'exact'")


def references_of(environment: dict[str, str]) -> list[object]:
    lines = run_python(SHOW_REFERENCES, environment=environment).splitlines()
    return [TorchReference.from_json(lines[0]), MindSporeReference.from_json(lines[1])]


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([ARM], [ARM, MindSporeReference()]),
        ([ARM_MINDSPORE], [TorchReference(), ARM_MINDSPORE]),
        ([ARM_MINDSPORE, ARM], [ARM, ARM_MINDSPORE]),
    ],
)
def test_an_environment_variable_names_a_file_of_references(
    recorded: list[Any], expected: list[object], tmp_path: Path
) -> None:
    write_references(tmp_path / "reference.json", recorded)
    environment = {"PORTNORM_REFERENCE": str(tmp_path / "reference.json")}
    assert references_of(environment) == expected


def test_a_file_of_references_may_hold_what_to_json_returns(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text(ARM.to_json())
    assert references_of({"PORTNORM_REFERENCE": str(tmp_path / "reference.json")})[0] == ARM
    assert references_of({"PORTNORM_REFERENCE": ""})[0] == TorchReference()


@pytest.mark.parametrize("first_use", ["get_options()", "set_options(reference=ARM)"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory: "),
        (b"{", "reference.json: not JSON: "),
        (b"\xff", "reference.json: 'utf-8' codec"),
        (b"[]", "reference.json: the list holds no reference"),
        (b'{"framework": "jax"}', "reference.json: its 'framework' must be one of"),
    ],
)
def test_a_file_of_references_that_cannot_be_used_is_named_at_first_use(
    content: bytes | None, problem: str, first_use: str, tmp_path: Path
) -> None:
    path = tmp_path / "reference.json"
    if content is not None:
        path.write_bytes(content)
    code = f"""
import portnorm
ARM = portnorm.TorchReference(capability="neon")
print("imported")
for _ in range(2):
    try:
        portnorm.{first_use}
    except ValueError as error:
        print(error)
"""
    lines = run_python(code, environment={"PORTNORM_REFERENCE": str(path)}).splitlines()
    imported, message, again = lines
    assert imported == "imported"
    assert message.startswith("PORTNORM_REFERENCE: ")
    assert str(path) in message
    assert problem in message
    assert again == message


def test_everything_that_portnorm_exports_exists() -> None:
    assert all(hasattr(portnorm, name) for name in portnorm.__all__)
