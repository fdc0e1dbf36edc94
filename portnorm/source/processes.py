"""A function over many files: quickly past those that do not matter, the others on all cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from portnorm.source.files import (
    Content,
    SourceFile,
    UnreadableError,
    path_of,
    read,
    read_bytes,
)
from portnorm.terminal import Progress

T = TypeVar("T")
Process = Callable[[SourceFile], T]

FEW = 32
"""Files that one process reads sooner than others start."""

_CHUNK = 8


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one file.

    Attributes:
        path: as it was given.
        result: what the function returned; None where the file was ruled out or failed.
        unreadable: why the file could not be read as Python.
        failure: what went wrong in the function, which is to blame.
    """

    path: str
    result: T | None = None
    unreadable: str | None = None
    failure: str | None = None


def run(
    inputs: Iterable[str | Content],
    process: Process[T],
    might_matter: Callable[[bytes], bool],
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[T]]:
    """Yield the outcome for each file, in the order in which they are given.

    Args:
        inputs: paths, or contents that were read already.
        process: takes a file; for other processes it must be a function of a module, or a
            `functools.partial` of one.
        might_matter: sees the bytes of a file, and rules it out quickly if it says False.
        jobs: the number of processes; None for that of the cores.
        progress: told as files are done.
    """
    every = list(inputs)
    matter = [_might_matter(one, might_matter) for one in every]
    needed = [one for one, does in zip(every, matter, strict=True) if does]
    jobs = jobs or _cores()
    work = _Work(process)
    if len(needed) < FEW or jobs == 1:
        results: Iterator[Outcome[T]] = map(work, needed)
    else:
        results = _on_all_cores(work, needed, min(jobs, len(needed)))
    done = 0
    for one, does in zip(every, matter, strict=True):
        if not does:
            yield Outcome(path_of(one))
            continue
        yield next(results)
        done += 1
        if progress is not None:
            progress("files", done, len(needed))


def _might_matter(one: str | Content, might_matter: Callable[[bytes], bool]) -> bool:
    try:
        return might_matter(read_bytes(one))
    except OSError:
        return True  # and is reported where it is read in earnest


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Work(Generic[T]):
    """Reads one file and runs the function; raises nothing."""

    process: Process[T]

    def __call__(self, one: str | Content) -> Outcome[T]:
        path = path_of(one)
        try:
            return Outcome(path, self.process(read(one)))
        except (OSError, UnreadableError) as error:
            return Outcome(path, unreadable=getattr(error, "strerror", None) or str(error))
        except Exception as error:  # one file must not keep the others from being read
            return Outcome(path, failure=f"{type(error).__name__}: {error}")


def _on_all_cores(work: _Work[T], needed: list[str | Content], jobs: int) -> Iterator[Outcome[T]]:
    # A fork of a process with threads, such as that of a progress bar, can hang.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    chunk = max(1, min(_CHUNK, len(needed) // (4 * jobs)))
    done = 0
    try:
        with _interrupts_held():
            outcomes = pool.map(work, needed, chunksize=chunk)
        for outcome in outcomes:
            done += 1
            yield outcome
    except BrokenProcessPool:  # such as one that took too much memory
        for one in needed[done:]:
            yield Outcome(path_of(one), failure="not read: a process that reads files died")
    finally:
        # Without waiting, the pool and the end of the process race to close the same pipe.
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: this one alone answers it, in one line."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
