"""The table of a watch."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portnorm.terminal import console
from portnorm.text import counted, printable
from portnorm.vectors import CLASSES
from portnorm.watch.advice import Port, confused, dim_as_source, port
from portnorm.watch.records import MINT, Record

if TYPE_CHECKING:
    from rich.console import Console

    from portnorm.watch import Watch

_STYLES = {"at risk": "bold red", "agrees": "green", "portable": "green", "unknown": "yellow"}
_SHORT = {
    "torch.nn.functional.normalize": "F.normalize",
    "mindspore.ops.L2Normalize": "L2Normalize",
    MINT: "mint.normalize",
}
_MUCH = 999.0
_AMPLIFIED = (
    "Amplification: a difference in the input of a call comes out up to 1 / max(norm, floor) times "
    "as large; where outputs differ by that, look upstream."
)
_WORDS = {name: name.replace("_", " ") for name in CLASSES} | {"between": "between the floors"}


def plain(log: Watch, width: int) -> str:
    """Return the table without colour."""
    from rich.console import Console

    stream = io.StringIO()
    _print(log, Console(file=stream, width=width, color_system=None, highlight=False))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def show(log: Watch) -> None:
    """Print the table on stderr; in colour on a terminal that wants it."""
    _print(log, console(stderr=True))


def _print(log: Watch, to: Console) -> None:
    records = log.records
    to.print(_verdict(records), style="bold")
    if records:
        to.print(_table(records))
    if any((record.amplification or 0) >= _MUCH for record in records):
        to.print(_AMPLIFIED)
    if log.dropped:
        to.print(f"{log.dropped} calls from further lines were left out: the log was full.")
    to.print(f"Not seen: {'; '.join(log.not_seen)}.", style="dim")


def _verdict(records: list[Record]) -> str:
    if not records:
        return "portnorm watch: no call was seen."
    lines = {(record.call.file, record.call.line) for record in records}
    risky = {
        (record.call.file, record.call.line)
        for record in records
        if port(record).status == "at risk"
    }
    calls = sum(record.calls for record in records)
    return (
        f"portnorm watch: {counted(calls, 'call')} from {counted(len(lines), 'line')}; "
        f"{len(risky) or 'none'} at risk when ported."
    )


def _table(records: list[Record]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True, expand=False)
    for title, ratio in [("call", 4), ("vectors", 3), ("when ported", 5)]:
        table.add_column(title, overflow="fold", ratio=ratio)
    for record in records:
        found = port(record)
        style = _STYLES[found.status]
        ported = Text.assemble((found.status, style), *_ported(record, found))
        cells = ["\n".join(f(record)) for f in (_call, _vectors)]
        table.add_row(*map(Text, cells), ported)
    return table


def _call(record: Record) -> Iterator[str]:
    call = record.call
    yield f"{printable(_shortest(call.file))}:{call.line}" if call.file else "(no Python line)"
    name = _SHORT.get(call.function, call.function)
    order = "" if call.p in (2, None) or "l2" in name.lower() else f"p={call.p}, "
    dim, eps = ("axis", "epsilon") if "l2" in name.lower() else ("dim", "eps")
    yield f"{name}({order}{dim}={dim_as_source(call.dim)}, {eps}={call.eps})"
    yield f"{counted(record.calls, 'call')}, {call.dtype}"
    for shape, count in record.shapes.items():
        yield f"{shape}" + (f" x {count}" if len(record.shapes) > 1 else "")
    if record.other_shapes:
        yield f"other shapes x {record.other_shapes}"


def _shortest(file: str) -> str:
    """Return the path as seen from the working directory, where that is shorter."""
    try:
        relative = os.path.relpath(file)
    except (OSError, ValueError):
        return file
    return min(relative, file, key=len) if Path(file).is_absolute() else file


def _vectors(record: Record) -> Iterator[str]:
    if record.vectors:
        yield counted(record.vectors, "vector")
    if record.minimum is not None:
        yield f"smallest norm {record.minimum:.3g}"
    if (amplification := record.amplification) is not None:
        yield f"amplification {amplification:.3g}"
    for name, count in record.counts.items():
        if count:
            yield f"{count} {_WORDS[name]}"
    if record.unread:
        yield f"values of {counted(record.unread, 'call')} not seen"


def _ported(record: Record, found: Port) -> Iterator[str]:
    for reason in found.reasons:
        yield f"\n{reason}"
    if found.status in ("at risk", "unknown", "portable"):
        yield f"\n-> {found.use}"
    if found.status == "at risk" and found.argument:
        yield f"\nsame floor: {found.argument}"
        if confused(record):
            yield ", so tiny that MindSpore may take that of another call"
