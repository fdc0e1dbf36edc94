"""No garbage is collected meanwhile; afterwards it is, if it was before."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portnorm.exact.machine.compile_time import compiling
from portnorm.exact.machine.garbage import no_garbage_collection


@pytest.fixture(autouse=True)
def _collects() -> Iterator[None]:
    assert gc.isenabled()
    yield
    assert gc.isenabled()


def test_an_error_ends_a_pause() -> None:
    with pytest.raises(ZeroDivisionError), no_garbage_collection():
        _ = 1 / gc.isenabled()  # which is 0
    assert gc.isenabled()


def test_whoever_collects_none_collects_none_afterwards() -> None:
    gc.disable()
    try:
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@contextlib.contextmanager
def paused_in_another_thread() -> Iterator[None]:
    begun, end = threading.Event(), threading.Event()

    def pause() -> None:
        with no_garbage_collection():
            begun.set()
            end.wait()

    thread = threading.Thread(target=pause)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("outer", [no_garbage_collection, paused_in_another_thread])
def test_a_pause_lasts_until_the_last_one_of_all_threads_ends(outer: Callable[[], Any]) -> None:
    with outer():
        with no_garbage_collection():
            pass
        assert not gc.isenabled()


def test_many_threads_leave_it_as_it_was() -> None:
    def pause() -> None:
        for _ in range(2_000):
            with no_garbage_collection():
                enabled.add(gc.isenabled())

    enabled: set[bool] = set()
    threads = [threading.Thread(target=pause) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert enabled == {False}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
@pytest.mark.filterwarnings("ignore:This process .*multi-threaded:DeprecationWarning")
def test_a_child_process_collects_although_a_thread_of_its_parent_pauses() -> None:
    with paused_in_another_thread():
        child = os.fork()
        if not child:
            with no_garbage_collection():
                paused = not gc.isenabled()
            os._exit(0 if paused and gc.isenabled() else 1)
        status = os.waitpid(child, 0)[1]
        assert not gc.isenabled()
    assert os.waitstatus_to_exitcode(status) == 0


def test_none_is_collected_while_a_kernel_is_compiled() -> None:
    with compiling("kernel", None):
        assert not gc.isenabled()
