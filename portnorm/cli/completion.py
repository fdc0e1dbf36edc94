"""`portnorm --completion SHELL`: a script with which a shell completes the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from portnorm.cli.common import needs_tools

SHELLS = ("bash", "zsh", "fish", "tcsh")
_FILES = {"DIR", "DUMP", "FILE", "INPUT", "ORIGINAL", "OUTPUT", "PATH", "SCRIPT"}
"""What arguments are called that name files, so that the shell offers those."""


class Completion(argparse.Action):
    """Print the script, and end, as `--version` does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Make the script with shtab."""
        with needs_tools("--completion"):
            import shtab
        from portnorm.source.guide import NAMES

        for action in _actions(parser):
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.dest == "name":
                action.choices = NAMES
        print(shtab.complete(parser, str(values)))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser, and of the commands that it has."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            # The help has the commands in groups, shtab looks for them where argparse puts them.
            action._choices_actions = [
                line
                for group in parser._action_groups
                for line in group._group_actions
                if line.dest in action.choices
            ]
            for one in action.choices.values():
                yield from _actions(one)
