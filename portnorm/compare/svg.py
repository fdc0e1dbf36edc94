"""Figures as SVG in a page of HTML, which takes its colours from the page around it."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from portnorm.compare.charts import Palette
from portnorm.vectors import CLASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG_NAMESPACE = re.compile(r"\{[^}]*\}")
_REFERENCE = re.compile(r"#([\w-]+)")
_VARIABLES = {f"#0102{place:02x}": name for place, name in enumerate(["ink", "muted", *CLASSES])}
"""Colours that stand for the custom properties of the style sheet."""

_BY_NAME = {name: colour for colour, name in _VARIABLES.items()}
THEMED = Palette(
    _BY_NAME["ink"],
    _BY_NAME["muted"],
    {name: _BY_NAME[name] for name in CLASSES},
    _BY_NAME["above_both"],
)
"""Those colours."""


def element(figure: Figure, prefix: str, name: str, description: str) -> str:
    """Return a figure that was drawn with `THEMED` as an element for a page of HTML.

    Args:
        figure: the figure.
        prefix: of the ids in it; no two elements of a page may have the same.
        name: the title.
        description: what there is to see, for those who do not see it.
    """
    stream = io.StringIO()
    # Dates and random ids would make no two reports of the same data equal.
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(stream.getvalue())
    _drop_namespaces(root)
    _rename_ids(root, prefix)
    _drop(root, "metadata")
    _drop(root, "defs/style")  # it would hold for the whole page
    size = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {"viewBox": size, "role": "img"}
    root.attrib["aria-labelledby"] = f"{prefix}-title"
    root.attrib["aria-describedby"] = f"{prefix}-description"
    root.attrib["style"] = "stroke-linejoin: round; stroke-linecap: butt"
    for tag, text in (("desc", description), ("title", name)):
        child = ET.Element(tag, id=f"{prefix}-{'title' if tag == 'title' else 'description'}")
        child.text = text
        root.insert(0, child)
    return ET.tostring(root, encoding="unicode")


def _drop_namespaces(root: ET.Element) -> None:
    """HTML knows SVG by its tags, and has no prefixes."""
    for element in root.iter():
        element.tag = _SVG_NAMESPACE.sub("", element.tag)
        element.attrib = {_SVG_NAMESPACE.sub("", k): v for k, v in element.attrib.items()}


def _drop(root: ET.Element, path: str) -> None:
    for parent in root.findall(f"{path}/.."):
        for child in parent.findall(path.rpartition("/")[2]):
            parent.remove(child)


def _rename_ids(root: ET.Element, prefix: str) -> None:
    old = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    new: dict[str, str] = {name: f"{prefix}-{rank}" for rank, name in enumerate(dict.fromkeys(old))}

    def renamed(match: re.Match[str]) -> str:
        if match[0] in _VARIABLES:
            return f"var(--{_VARIABLES[match[0]].replace('_', '-')})"
        return f"#{new.get(match[1], match[1])}"

    for element in root.iter():
        attributes: dict[str, Any] = element.attrib
        for key, value in attributes.items():
            attributes[key] = new[value] if key == "id" else _REFERENCE.sub(renamed, value)
