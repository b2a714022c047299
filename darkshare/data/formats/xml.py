"""XML as elements with their lines, in whatever encoding it declares."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from darkshare._files import read_small
from darkshare._texts import likely_encoding
from darkshare.errors import DarkshareError

LARGEST_XML = 2**21  # bytes; thousands of objects
DEEPEST = 20
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.:-]*)["']""")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*>")
_ABOVE_ASCII = bytes(range(128, 256))
_MARKS = (  # longest first: that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# Files that declare the left one hold characters that only the right one has, as Windows writes them.
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "cp950", "shift_jis": "cp932", "euc_kr": "cp949"}


@dataclass(slots=True)
class Element:
    """An XML element."""

    tag: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """The first child of that tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def said(self, tag: str) -> str:
        """The text of that child on one line; empty without one."""
        found = self.find(tag)
        return " ".join(found.text.split()) if found else ""


def read_xml(path: Path, largest: int = LARGEST_XML) -> Element:
    """Read an XML file.

    Raises:
        DarkshareError: it cannot be read, is too large, or is not XML.
    """
    try:
        return parse_xml(read_small(path, largest))
    except DarkshareError as error:
        raise error.locate(str(path), None) from None


def parse_xml(data: bytes) -> Element:
    """The elements of an XML text, with their lines.

    Raises:
        DarkshareError: with the line, where it is not XML, or declares entities, which can grow without bounds.
    """
    parser = expat.ParserCreate("utf-8")
    top = Element("", 0, {})
    stack = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEEPEST:
            raise DarkshareError(f"has more than {DEEPEST} elements in each other", line=parser.CurrentLineNumber)
        node = Element(tag, parser.CurrentLineNumber, attributes)
        stack[-1].children.append(node)
        stack.append(node)

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise DarkshareError("declares a document type, which no annotation does", line=parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(_in_utf8(data), True)
    except expat.ExpatError as error:
        raise DarkshareError(f"is not XML: {error}", line=error.lineno) from None
    return top.children[0]


def _in_utf8(data: bytes) -> bytes:
    """The text in UTF-8: expat knows four encodings, Python most that there are.

    A byte order mark says more than the declaration, and so does a declaration that can be read at all: programs write
    that a text is UTF-16 and then write UTF-8. The declaration itself is left out, so that lines before it do no harm.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:
        found = _DECLARED.match(data)
        encoding = found[1].decode().lower() if found else "utf-8"
        if encoding.startswith(("utf-16", "utf16", "ucs-2", "utf-32")):
            encoding = "utf-8"
    try:
        name = codecs.lookup(encoding).name
        text = data.decode("utf-8" if _is_utf8_all_the_same(data, name) else _WIDER.get(name, name))
        return _DECLARATION.sub("", text).encode()
    except LookupError:
        raise DarkshareError(f"is in an encoding that is not known: {encoding}; save it as UTF-8") from None
    except ValueError:
        why = "which it declares" if _DECLARED.match(data) else f"but probably in {likely_encoding(data)}, undeclared"
        raise DarkshareError(f"is not in {encoding}, {why}; save it as UTF-8") from None


def _is_utf8_all_the_same(data: bytes, declared: str) -> bool:
    """Whether a text was saved as UTF-8 while its declaration stayed as it was.

    No text of one byte a character looks like UTF-8 by chance. Of East Asian encodings single words may, but then as
    Latin, Greek or Cyrillic letters of two bytes, not as East Asian ones of three.
    """
    try:
        foreign = [character for character in data.decode() if not character.isascii()]
    except UnicodeDecodeError:
        return False
    single = len(_ABOVE_ASCII.decode(declared, "replace")) == len(_ABOVE_ASCII)
    return bool(foreign) and (single or min(foreign) >= "\u0800")
