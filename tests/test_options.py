"""Who sees which options, and when."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

import portnorm
from portnorm import Options, get_options, set_options
from portnorm.options import resolve_parity
from tests.imports.blocked import run_python

NATIVE = Options(parity="native")


# --- setting and restoring ------------------------------------------------------------------------


def test_the_defaults() -> None:
    assert Options() == Options(parity="semantic", unsupported_p="warn")


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
        ({"reference": "native"}, TypeError, "reference"),
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


def test_a_level_that_is_given_goes_before_the_option() -> None:
    with set_options(parity="native"):
        assert resolve_parity(None) == "native"
        assert resolve_parity("semantic") == "semantic"
    with pytest.raises(ValueError, match=r"parity must be one of .*, not 'exact'"):
        resolve_parity("exact")  # type: ignore[arg-type]


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

SHOW = "import portnorm; print(*vars(portnorm.get_options()).values())"


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


def test_everything_that_portnorm_exports_exists() -> None:
    assert all(hasattr(portnorm, name) for name in portnorm.__all__)
