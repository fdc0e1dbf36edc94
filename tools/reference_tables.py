"""The reference pages: the API from its docstrings, the command line from its parser."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from docstring_parser import Docstring, DocstringStyle, parse
from markdown_table import table

from portnorm import cli, errors
from portnorm.port.inline import DEFINITION
from portnorm.source.codes import CODES

API = {
    "portnorm": [
        "set_options",
        "get_options",
        "Options",
        "TorchReference",
        "CudaDevice",
        "MindSporeReference",
    ],
    "portnorm.mindspore": ["normalize", "Normalize", "l2_normalize", "L2Normalize"],
    "portnorm.torch": ["normalize", "Normalize", "l2_normalize", "L2Normalize"],
    "portnorm.exact.torch_cpu": ["normalize", "normalize_vjp"],
    "portnorm.exact.torch_cuda": ["normalize", "normalize_vjp", "norms"],
    "portnorm.exact.mindspore_cpu": ["l2_normalize", "l2_normalize_vjp"],
    "portnorm.compare": ["compare", "Comparison"],
    "portnorm.identify": ["identify"],
}


class Documented(NamedTuple):
    """A docstring, and the examples at its end."""

    text: Docstring
    example: str


def _documented(thing: Any) -> Documented:
    text, start, example = inspect.getdoc(thing).partition(">>> ")
    return Documented(parse(text, DocstringStyle.GOOGLE), start + example)


def api() -> str:
    """Every public function and class."""
    return "".join(
        f"\n## {module}\n{''.join(_entry(module, name) for name in names)}"
        for module, names in API.items()
    )


def _entry(module: str, name: str) -> str:
    thing = getattr(importlib.import_module(module), name)
    documented = _documented(thing)
    text = documented.text
    parts = [f"\n### {module}.{name}\n", f"```text\n{_signature(name, thing)}\n```\n"]
    parts += [f"{_markdown(t)}\n" for t in (text.short_description, text.long_description) if t]
    parts += [f"{heading}:\n\n{items}" for heading, items in _sections(text) if items]
    if documented.example:
        known = re.search(r"\b(import|from) portnorm\b", documented.example)
        imported = "" if known else f">>> from {module} import {name}\n"
        parts.append(f"```python\n{imported}{documented.example}\n\n```\n")
    return "\n".join(parts)


def _sections(text: Docstring) -> Iterator[tuple[str, str]]:
    arguments = [p for p in text.params if p.args[0] != "attribute"]
    attributes = [p for p in text.params if p.args[0] == "attribute"]
    yield "Arguments", _items((p.arg_name, p.description) for p in arguments)
    yield "Attributes", _items((p.arg_name, p.description) for p in attributes)
    if text.returns:
        returns = [text.returns.type_name, text.returns.description]
        yield "Returns", f"- {_markdown(': '.join(filter(None, returns)))}\n"
    yield "Raises", _items((r.type_name, r.description) for r in text.raises)


def _items(items: Iterator[tuple[str | None, str | None]]) -> str:
    return "".join(f"- `{name}`: {_markdown(text or '')}\n" for name, text in items)


def _markdown(text: str) -> str:
    """Two backticks are reStructuredText; a paragraph becomes one line."""
    paragraphs = text.replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _signature(name: str, thing: Any) -> str:
    """Return the signature over several lines where it is long."""
    signature = inspect.signature(thing)
    short = _unquoted(f"{name}{signature}")
    if len(short) <= 88:
        return short
    parts, keywords = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            parts.append("*")
            keywords = True
        parts.append(_unquoted(str(parameter)))
    returns = signature.return_annotation
    arrow = "" if returns is signature.empty else f" -> {returns}"
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){arrow}"


def _unquoted(signature: str) -> str:
    """Annotations are strings in the code, and need not be on the page."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)


def exceptions() -> str:
    """What portnorm raises and warns of its own accord."""
    rows = []
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
            rows.append([f"`{name}`", bases, _markdown(inspect.getdoc(kind) or "")])
    return table(["name", "is a", "when"], rows)


def commands() -> str:
    """What `--help` says of each command."""
    with mock.patch.dict(os.environ, COLUMNS="88", NO_COLOR="1"):
        parser = cli.parser()
        parsers = {"": parser, **_subparsers(parser)}
        return "".join(
            f"\n## portnorm{f' {name}' if name else ''}\n\n```text\n{_help(of)}```\n"
            for name, of in parsers.items()
        )


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (action,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


def _help(parser: argparse.ArgumentParser) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        parser.print_help(out)
    return out.getvalue()


def codes() -> str:
    """Every code of `portnorm check` and `portnorm port`, with its page."""
    rows = [[f"[{code.name}](../{code.page})", code.title] for code in CODES.values()]
    return table(["code", "what it is about"], rows)


def inline_on_mindspore() -> str:
    """The function that `portnorm port --style inline` puts into a module, as an example."""
    first, *rest = DEFINITION.splitlines()
    lines = [">>> import mindspore", f">>> {first}", *(f"... {line}" for line in rest)]
    return "```python\n" + "\n".join(lines) + "\n\n```\n"


TABLES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (api, exceptions, commands, codes, inline_on_mindspore)
}
