"""The code of the guide's pages in Chinese, which is that of the English pages."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"^ *```\w*\n.*?^ *```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r" *#.*")


def code(text: str) -> list[str]:
    """Return the blocks of code of a page, without comments: those may be translated."""
    return [_COMMENT.sub("", block) for block in _BLOCK.findall(text)]


def with_code_of(english: str, chinese: str) -> str:
    r"""Return a page in Chinese with the code of the English one, where it is another.

    A page that has more blocks, or fewer, is left to people.

    >>> with_code_of("Good\n```\n2\n```\n", "好\n```\n1\n```\n")
    '好\n```\n2\n```\n'
    """
    old, new = code(chinese), code(english)
    if len(old) != len(new):
        return chinese
    blocks = iter(zip(old, new, _BLOCK.findall(english), strict=True))

    def choose(match: re.Match[str]) -> str:
        mine, other, block = next(blocks)
        return match[0] if mine == other else block

    return _BLOCK.sub(choose, chinese)
