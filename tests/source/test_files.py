"""Which files are read, what is in them, and that writing changes nothing else."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.source.files import SourceFile, UnreadableError, read, write


def parse(raw: bytes) -> SourceFile:
    return SourceFile.parse("a.py", raw)


# --- encodings ------------------------------------------------------------------------------------

ENCODED = {
    "utf-8": ("é = 1\n", "é = 1\n".encode()),
    "byte order mark": ("é = 1\n", codecs.BOM_UTF8 + "é = 1\n".encode()),
    "latin-1 cookie": ("# coding: latin-1\né = 1\n", b"# coding: latin-1\n\xe9 = 1\n"),
    "cookie on line two": (
        "#!/usr/bin/python\n# -*- coding: cp1252 -*-\n'€'\n",
        b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\n'\x80'\n",
    ),
    "cookie after a carriage return": ("\r# coding: latin-1\r'é'", b"\r# coding: latin-1\r'\xe9'"),
    "byte order mark and cookie": (
        "# coding: utf-8\n",
        codecs.BOM_UTF8 + b"# coding: utf-8\n",
    ),
    "CRLF": ("a\r\nb\r\n", b"a\r\nb\r\n"),
    "mixed line ends": ("a\rb\r\nc\n\nd", b"a\rb\r\nc\n\nd"),
    "form feed": ("\x0ca\n\x0c\nb\x0b\n", b"\x0ca\n\x0c\nb\x0b\n"),
    "separators of unicode": ("'\u2028\x85'\n", "'\u2028\x85'\n".encode()),
    "cookie on line three": ("\n\n# coding: ascii\né", "\n\n# coding: ascii\né".encode()),
    "nothing": ("", b""),
    "japanese": ("# coding: euc-jp\n'日本'\n", "# coding: euc-jp\n'日本'\n".encode("euc-jp")),
}


@pytest.mark.parametrize(("text", "raw"), ENCODED.values(), ids=ENCODED)
def test_text_is_what_python_reads_and_comes_back_as_the_same_bytes(text: str, raw: bytes) -> None:
    source = parse(raw)
    assert source.text == text
    assert source.encode(text) == raw
    changed = raw.replace(b"a", b"z")
    assert source.encode(source.text.replace("a", "z")) == changed or b"coding" in raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"'\xe9'\n", "cannot be decoded"),
        (b"# coding: nothing-known\n", "unknown encoding"),
        (b"# coding: ascii\n'\xe9'", "cannot be decoded"),
        (codecs.BOM_UTF8 + b"# coding: latin-1\n", "cannot be decoded"),
        (b"a = 1\0\n", "null bytes"),
        ("a = 1\n".encode("utf-16"), "cannot be decoded"),
        (b"# coding: utf-7\n'+AGE-'\n", "does not give the same bytes back"),
    ],
)
def test_what_cannot_be_read_or_given_back_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        parse(raw)


def test_a_character_that_the_encoding_lacks_cannot_be_written() -> None:
    source = parse(b"# coding: latin-1\na\n")
    with pytest.raises(UnreadableError, match="cannot be encoded"):
        source.encode("€")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str) -> None:
    raw = text.encode()
    try:
        source = parse(raw)
    except UnreadableError:
        assert b"coding" in raw or raw.startswith(codecs.BOM_UTF8)
        return
    assert source.encode(source.text) == raw


def test_a_file_is_its_own_place() -> None:
    assert parse(b"a\nb\n").place(2) == (0, 2)


# --- writing --------------------------------------------------------------------------------------


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"a\r\n")
    path.chmod(0o751)
    write(read(str(path)), "b\r\n")
    assert path.read_bytes() == b"b\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    assert os.listdir(tmp_path) == ["a.py"]


def test_a_link_keeps_pointing_to_the_file_that_changes(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.py").write_bytes(b"a\n")
    link = tmp_path / "link.py"
    link.symlink_to("real/a.py")
    write(read(str(link)), "b\n")
    assert link.is_symlink()
    assert (tmp_path / "real" / "a.py").read_bytes() == b"b\n"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("the disk is full")

    path = tmp_path / "a.py"
    path.write_bytes(b"a\n")
    source = read(str(path))
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="the disk is full"):
        write(source, "b\n")
    assert path.read_bytes() == b"a\n"
    assert os.listdir(tmp_path) == ["a.py"]


def test_a_text_that_cannot_be_encoded_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"# coding: ascii\n")
    with pytest.raises(UnreadableError):
        write(read(str(path)), "é")
    assert path.read_bytes() == b"# coding: ascii\n"


def test_a_file_that_must_not_be_written_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"a\n")
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # root may do anything
    with pytest.raises(PermissionError, match="expected a file that can be written"):
        write(read(str(path)), "b\n")
    assert path.read_bytes() == b"a\n"
