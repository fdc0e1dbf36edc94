"""`portnorm watch`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from portnorm import files
from portnorm.cli.common import BAD_INPUT, DONE, INTERRUPTED, BadInputError, needs_tools, say
from portnorm.reference import REFERENCES

if TYPE_CHECKING:
    from portnorm.cli.common import Commands
    from portnorm.watch import Watch

_HOSTS = tuple(REFERENCES)
_RAISED = 1
_EAGER = {"TORCHDYNAMO_DISABLE": "1", "PYTORCH_JIT": "0", "MS_JIT": "0"}
"""What the frameworks read when they are imported."""

_LAUNCHERS = (__name__, "runpy")


def add_parser(commands: Commands) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "watch",
        usage="portnorm watch [-h] [--host HOST] [--eager] [--json FILE] "
        "(SCRIPT | -m MODULE | --from DUMP) [ARGS ...]",
        help="run a script, and show which of its calls are at risk when ported",
        description="Run a Python script and record its calls of torch.nn.functional.normalize, "
        "of mindspore.ops.L2Normalize in PyNative (MindSpore 2.10 or later), and of portnorm. The "
        "table at the end, on stderr, says which lines are at risk when ported, and what to write "
        "instead. With --from, the calls are those in a dump of msprobe, and nothing is run.",
        epilog="Calls in compiled graphs, in other processes, and, but for portnorm's, in other "
        "threads are not seen. The exit code is the script's; 2 for bad usage.",
    )
    parser.add_argument(
        "--host",
        choices=[*_HOSTS, "both"],
        help="import and watch this framework only (default: each that is installed)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the records to FILE, as JSON")
    parser.add_argument(
        "-m", dest="module", action="store_true", help="SCRIPT is the name of a module"
    )
    parser.add_argument(
        "--eager",
        action="store_true",
        help="let torch and MindSpore run uncompiled what is marked to be compiled, so that the "
        "calls in it are seen",
    )
    parser.add_argument("--from", dest="dump", metavar="DUMP", help="a folder with such a dump")
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="a file, or a module after -m")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its own")
    parser.set_defaults(run=_watch)


def _watch(arguments: argparse.Namespace) -> int:
    if arguments.dump is not None:
        return _watch_dump(arguments)
    if arguments.script is None:
        raise BadInputError("expected a SCRIPT, -m MODULE or --from DUMP")
    run = _runner(arguments)
    hosts = _hosts(arguments.host)
    with needs_tools("watch"):
        import rich.table  # noqa: F401

        from portnorm.terminal import progress_bar
        from portnorm.watch import watch
    path = _target(arguments)
    if arguments.eager:
        os.environ.update(_EAGER)
    process, end = os.getpid(), None
    with _as_python_would(arguments), contextlib.ExitStack() as stack:
        with progress_bar("starting the frameworks"):  # gone before the script has the terminal
            log = stack.enter_context(watch(hosts))
        try:
            code = _run(run)
        except SystemExit as error:
            code, end = int(error.code not in (None, 0)), error
        # A fork that comes out here has said nothing yet.
        done = os.getpid() != process or _report(log, path)
        if not done and not code:
            return BAD_INPUT
        if end is not None:
            raise end
    return code


def _target(arguments: argparse.Namespace) -> str | None:
    """Return where to write the records, also after the script has gone to another folder."""
    if arguments.json is None:
        return None
    files.check_target(arguments.json, ".json")
    return os.path.abspath(str(arguments.json))


def _watch_dump(arguments: argparse.Namespace) -> int:
    for option, given in (
        ("--host", arguments.host),
        ("--eager", arguments.eager),
        ("-m", arguments.module),
    ):
        if given:
            raise BadInputError(f"{option} is of a script, and --from runs none")
    if arguments.script is not None:
        raise BadInputError("expected --from DUMP or a SCRIPT, found both")
    path = _target(arguments)
    with needs_tools("watch"):
        import rich.table  # noqa: F401

        from portnorm.identify.dump import attributes_of
        from portnorm.readers import open_dump
        from portnorm.terminal import progress_bar
        from portnorm.watch.dump import watch_dump
    with progress_bar("reading the dump") as progress:
        dump = open_dump(arguments.dump)
        log = watch_dump(dump, functools.partial(attributes_of, dump), progress)
    return DONE if _report(log, path) else BAD_INPUT


def _hosts(chosen: str | None) -> list[str]:
    """Return the frameworks to watch."""
    wanted = _HOSTS if chosen in (None, "both") else (chosen,)
    missing = [host for host in wanted if importlib.util.find_spec(host) is None]
    if chosen is not None and missing:
        raise BadInputError(f"--host {chosen}: {missing[0]} is not installed")
    if len(missing) == len(wanted):
        raise BadInputError(
            "expected torch or mindspore to be installed, found neither: "
            "pip install 'portnorm[torch]' or pip install 'portnorm[mindspore]'"
        )
    return [host for host in wanted if host not in missing]


# --- the script -----------------------------------------------------------------------------------


def _runner(arguments: argparse.Namespace) -> Callable[[], Any]:
    """Return what runs the script; refuse what is not there."""
    name = arguments.script
    if arguments.module:
        _check_module(name)
        return lambda: runpy.run_module(name, run_name="__main__", alter_sys=True)
    if not Path(name).exists():
        raise BadInputError(f"{name}: expected a Python script, found no such file")
    if Path(name).is_dir() and not Path(name, "__main__.py").exists():
        raise BadInputError(f"{name}: expected a Python script, found a folder without __main__.py")
    return lambda: runpy.run_path(name, run_name="__main__")


def _check_module(name: str) -> None:
    path = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    finally:
        sys.path[:] = path
    if found is None:
        raise BadInputError(f"{name}: expected a module, found none of this name")


@contextlib.contextmanager
def _as_python_would(arguments: argparse.Namespace) -> Iterator[None]:
    """Set sys.argv and the first entry of sys.path as Python does for a script."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = [arguments.script, *arguments.arguments]
    if not getattr(sys.flags, "safe_path", False):
        first = Path.cwd() if arguments.module else Path(arguments.script).resolve().parent
        sys.path[:1] = [str(first)]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path


def _run(run: Callable[[], Any]) -> int:
    """Run the script; return the exit code that Python would end with.

    Raises:
        SystemExit: the script did.
    """
    try:
        run()
    except SystemExit:
        raise
    except BaseException as error:
        error = error.with_traceback(_of_script(error.__traceback__))
        _show(error)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else _RAISED
    return DONE


def _show(error: BaseException) -> None:
    """Show an error as Python does, also where the script's own way of it fails."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as another:
        for one in (another, error):
            sys.__excepthook__(type(one), one, one.__traceback__)


def _of_script(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out the lines of portnorm and of runpy at the top of a traceback."""
    inside = traceback
    while inside is not None and inside.tb_frame.f_globals.get("__name__") in _LAUNCHERS:
        inside = inside.tb_next
    return inside


# --- the report -----------------------------------------------------------------------------------


def _report(log: Watch, path: str | None) -> bool:
    """Show the table and write the records; return whether they are written, if they are to be."""
    from portnorm.watch import table

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed by the script
            stream.flush()
    try:
        table.show(log)
    except (BrokenPipeError, ValueError):
        pass
    except Exception as error:  # the records and the exit code of the script survive
        say(f"the table cannot be shown: {type(error).__name__}: {error}")
    if path is not None:
        try:
            files.write(path, f"{log.to_json()}\n".encode())
        except Exception as error:  # such as a full disk; the exit code of the script survives
            say(str(error) or type(error).__name__)
            return False
    return True
