"""XML rows out of a stream of UTF-8, in blocks: flat memory, and one broken row stays one.

The text is mended before a parser sees it: DOCTYPE (so no DTD, no entity of the file's own,
no bomb), comments and processing instructions are dropped; bare ampersands are escaped; named
HTML entities become numbers. Line numbers survive. Whole rows are then parsed in blocks of about
128 KiB; a block that does not parse is parsed row by row, and each bad row is a Rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.entities import html5
from typing import cast

from lxml import etree

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import batch, clean
from lensback.feeds.elements import BASE
from lensback.feeds.encodings import CONTROL_TEXT
from lensback.types import Offer, Rejected

BLOCK_CHARS = 1 << 17
MAX_ROW_CHARS = 4 << 20
MAX_HEAD_CHARS = 64 << 20
GOOGLE_NAMESPACE = "http://base.google.com/ns/1.0"

# --- mending ----------------------------------------------------------------------------------

_AMPERSAND = re.compile(
    rb"&(?!(?:amp|lt|gt|quot|apos);)(#[xX][0-9A-Fa-f]{1,6};|#[0-9]{1,7};|[A-Za-z][A-Za-z0-9]{0,31};)?"
)
_SPECIAL = re.compile(rb"<(?:!\[CDATA\[|!--|\?|![Dd][Oo][Cc][Tt][Yy][Pp][Ee])")
_RARE = re.compile(rb"<(?:\?|!(?!\[))")
_CDATA, _CDATA_END = b"<![CDATA[", b"]]>"
_ENDS = {_CDATA: _CDATA_END, b"<!--": b"-->", b"<?": b"?>"}
# Each alternative runs to its end or to the end of the text: linear on any input.
_DOCTYPE = re.compile(rb"\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|<!--.*?(?:-->|\Z)|<|>", re.DOTALL)
_MAX_DOCTYPE = 1 << 20


def mend(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of well-behaved XML in order; none ends within a tag or within CDATA, except one
    that is longer than a row may be."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        whole = buffer[: _whole_end(buffer)]
        if not whole:
            continue
        rare = _RARE.search(whole)
        piece, rest = _with_rarities(whole) if rare else (_plain(whole), b"")
        if piece:
            yield piece
        buffer = rest + buffer[len(whole) :]
    if buffer:
        yield _with_rarities(buffer, last=True)[0]


def _whole_end(buffer: bytes) -> int:
    """Up to the last `>` outside CDATA, so that no tag, no entity and no CDATA is cut."""
    if len(buffer) > MAX_ROW_CHARS:
        return len(buffer)
    end = buffer.rfind(b">") + 1
    opened = buffer.rfind(_CDATA, 0, end)
    return opened if opened >= 0 and buffer.find(_CDATA_END, opened, end) < 0 else end


def _plain(buffer: bytes) -> bytes:
    """The usual case: nothing but tags, text and CDATA."""
    first, *sections = buffer.split(_CDATA)
    if not sections:
        return _escaped(first)
    parts = [_escaped(first)]
    for section in sections:
        inside, end, after = section.partition(_CDATA_END)
        parts += (_CDATA, inside, end, _escaped(after))
    return b"".join(parts)


def _escaped(text: bytes) -> bytes:
    return _AMPERSAND.sub(_entity, text)


def _with_rarities(buffer: bytes, *, last: bool = False) -> tuple[bytes, bytes]:
    """DOCTYPE, comments and processing instructions dropped; what must wait for more."""
    parts: list[bytes] = []
    at = 0
    while special := _SPECIAL.search(buffer, at):
        parts.append(_escaped(buffer[at : special.start()]))
        at = special.start()
        mark = _ENDS.get(special[0])
        end = _end(buffer, special.end(), mark) if mark else _doctype_end(buffer, at)
        if end < 0:
            if not last and len(buffer) - at <= MAX_ROW_CHARS:
                return b"".join(parts), buffer[at:]
            end = len(buffer)
        inner = buffer[at:end]
        parts.append(inner if mark == _CDATA_END else b"\n" * inner.count(b"\n"))
        at = end
    parts.append(_escaped(buffer[at:]))
    return b"".join(parts), b""


def _end(buffer: bytes, at: int, mark: bytes) -> int:
    found = buffer.find(mark, at)
    return found + len(mark) if found >= 0 else -1


def _doctype_end(buffer: bytes, at: int) -> int:
    depth = 0
    for token in _DOCTYPE.finditer(buffer, at, at + _MAX_DOCTYPE):
        depth += {b"<": 1, b">": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    if len(buffer) - at > _MAX_DOCTYPE:
        raise FeedError("its DOCTYPE does not end", hint="ask the store for a feed without a DTD")
    return -1


def _entity(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        return b"&amp;"
    body = match[1].decode("ascii")
    if body[0] != "#":
        value = html5.get(body)
        named = "".join(f"&#{ord(char)};" for char in value) if value else "&amp;" + body
        return named.encode()
    code = int(body[2:-1], 16) if body[1] in "xX" else int(body[1:-1])
    if 0x80 <= code <= 0x9F:  # old pages write Windows-1252 so
        code = ord(bytes([code]).decode("cp1252", "replace"))
    legal = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD
    return f"&#{code};".encode() if legal or 0x10000 <= code <= 0x10FFFF else b" "


# --- rows -------------------------------------------------------------------------------------

_FIRST_TAG = re.compile(rb"<([^\s<>/!?&]+)")
_PREFIX = re.compile(rb"</?([A-Za-z_][\w.\-]*):[^\s<>/=]")
_RESERVED = ("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/")
_TAIL_CHARS = 1 << 16
_SAMPLE_CHARS = 120


class Document:
    """An XML feed: `head`, the tree of what precedes the first row, and `blocks()` of rows."""

    def __init__(
        self, chunks: Iterator[bytes], row_names: tuple[str, ...], within: str = ""
    ) -> None:
        """`chunks` in UTF-8. Reads up to the first row, which must come after the start of an
        element `within` where that is given. Raises FeedError where there is none."""
        self._within = (
            re.compile(rb"<(?:[\w.\-]+:)?%s(?=[\s>])" % re.escape(within).encode(), re.IGNORECASE)
            if within
            else None
        )
        names = "|".join(map(re.escape, row_names)).encode()
        self._pieces = mend(chunks)
        self._header, self._rest, self._name = self._open(
            re.compile(rb"<((?:[\w.\-]+:)?(?:%s))(?=[\s/>])" % names, re.IGNORECASE)
        )
        self.head = tree(self._header)
        self._opening = _wrapper(self.head, self._rest[:MAX_ROW_CHARS]).encode("utf-8", "replace")
        self._parser = _parser(recover=False)
        self._tail = b""
        # Row starts and ends outside CDATA; the first alternative swallows CDATA whole.
        name = re.escape(self._name)
        self._edges = re.compile(
            rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|(<%s(?=[\s/>]))|(</%s\s*+>)" % (name, name), re.DOTALL
        )
        self._starts = re.compile(rb"<%s(?=[\s/>])" % name)

    def blocks(self) -> Iterator[Block | Rejected]:
        """The rows in order, as many at once as parse together, or why one was refused. Raises
        FeedTruncated, after the last whole row, where the document does not end with its
        closing tag.
        """
        line = self._header.count(b"\n")
        for block in self._blocks():
            if block.startswith(b"<" + self._name):
                yield from self._parse(block, line)
            line += block.count(b"\n")
        root = _FIRST_TAG.search(self._header)
        if root and b"</" + root[1] not in self._tail:
            raise FeedTruncated(
                f"the feed stops in the middle, after line {line + 1}",
                hint="fetch it again; what came before was read",
            )

    def _open(self, row: re.Pattern[bytes]) -> tuple[bytes, bytes, bytes]:
        """What precedes the first row, the piece it begins, and its name."""
        parts: list[bytes] = []
        size = 0
        within = self._within
        for piece in self._pieces:
            at = 0
            if within and (opened := within.search(piece)):
                within, at = None, opened.end()
            while not within and (found := row.search(piece, at)):
                around = _cdata_around(piece, found.start())
                if around is None:
                    header = b"".join(parts) + piece[: found.start()]
                    return header, piece[found.start() :], found[1]
                at = around[1]
            parts.append(piece)
            size += len(piece)
            if size > MAX_HEAD_CHARS:
                break
        raise FeedError("there is no offer in it", hint="check the address and the format")

    def _blocks(self) -> Iterator[bytes]:
        """The rest of the text, cut before row starts; sets `_tail` to what follows the last row."""
        text = self._rest
        for piece in self._pieces:
            if len(text) >= BLOCK_CHARS and (cut := self._last_start(text)) > 0:
                yield text[:cut]
                text = text[cut:]
            elif len(text) > MAX_ROW_CHARS:
                end = max(self._last_end(text), len(text) - _TAIL_CHARS)
                yield text[:end]
                text = text[end:]
            text += piece
        end = self._last_end(text)
        self._tail = text[end:]
        yield text[:end]

    def _last_start(self, text: bytes) -> int:
        at = len(text)
        while (at := text.rfind(b"<" + self._name, 0, at)) >= 0:
            if not self._starts.match(text, at):
                continue
            around = _cdata_around(text, at)
            if around is None:
                return at
            at = around[0]
        return -1

    def _spans(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of each row; the end is -1 where the row has none."""
        start = -1
        for edge in self._edges.finditer(block):
            if edge[1]:
                if start >= 0:
                    yield start, self._closed_itself(block, start, edge.start())
                start = edge.start()
            elif edge[2] and start >= 0:
                yield start, edge.end()
                start = -1
        if start >= 0:
            yield start, self._closed_itself(block, start, len(block))

    @staticmethod
    def _closed_itself(block: bytes, start: int, stop: int) -> int:
        """End of a row like `<offer id="7" deleted="true"/>`, or -1."""
        end = block.find(b">", start, stop) + 1
        return end if end and block[end - 2] == ord("/") else -1

    def _last_end(self, block: bytes) -> int:
        """Where the last row ends. A last row without an end is left to the tail,
        unless the document goes on behind it: then it is a broken row."""
        start = end = 0
        for start, end in self._spans(block):  # noqa: B007 - the last one counts
            pass
        return end if end >= 0 else start

    def _parse(self, block: bytes, line: int) -> Iterator[Block | Rejected]:
        tree = self._tree_of(block)
        if tree is None:
            yield from self._one_by_one(block, line)
        else:
            yield Block(tree, lambda: self._lines(block, line))

    def _one_by_one(self, block: bytes, line: int) -> Iterator[Block | Rejected]:
        for (start, end), at in zip(self._spans(block), self._lines(block, line), strict=True):
            tree = self._tree_of(block[start:end]) if 0 < end <= start + MAX_ROW_CHARS else None
            if tree is None:
                sample = block[start : start + 2 * _SAMPLE_CHARS].decode("utf-8", "replace")
                yield Rejected("broken xml", at, sample=" ".join(sample.split())[:_SAMPLE_CHARS])
            else:
                yield Block(tree, lambda at=at: [at])  # type: ignore[misc]

    def _lines(self, block: bytes, line: int) -> list[int]:
        """The line on which each row begins; `line` lines are before the block."""
        found: list[int] = []
        at = 0
        for start, _ in self._spans(block):
            line += block.count(b"\n", at, start)
            at = start
            found.append(line + 1)
        return found

    def _tree_of(self, block: bytes) -> etree._Element | None:
        """None where it is no XML, even without what is no character of UTF-8 or of XML."""
        try:
            return etree.fromstring(self._opening + block + b"</rows>", self._parser)
        except etree.XMLSyntaxError:
            cleaned = CONTROL_TEXT.sub("", block.decode("utf-8", "replace")).encode()
        if cleaned == block:
            return None
        try:
            return etree.fromstring(self._opening + cleaned + b"</rows>", self._parser)
        except etree.XMLSyntaxError:
            return None


def _cdata_around(text: bytes, at: int) -> tuple[int, int] | None:
    """Start and end of the CDATA section that `at` lies in, if it does."""
    opened = text.rfind(_CDATA, 0, at)
    if opened < 0 or text.find(_CDATA_END, opened, at) >= 0:
        return None
    end = text.find(_CDATA_END, at)
    return opened, end if end >= 0 else len(text)


class Block:
    """Rows that were parsed together, whose elements are the children of `tree`."""

    def __init__(self, tree: etree._Element, lines: Callable[[], list[int]]) -> None:
        self.rows = list(tree.iterchildren(tree[0].tag))
        self._lines = lines

    def offers(self, columns: batch.Columns, rules: clean.RowRules) -> list[Offer | Rejected]:
        """What the rows' values make, with the lines of those that are refused."""
        made = batch.offers(columns, len(self.rows), rules)
        if Rejected in map(type, made):
            lines = self._lines()
            for i in (i for i, row in enumerate(made) if isinstance(row, Rejected)):
                line = lines[i] if len(lines) == len(made) else 0
                made[i] = replace(cast("Rejected", made[i]), line=line)
        return made


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        collect_ids=False,
        remove_blank_text=True,  # white space between elements is most of what there is to build
    )


def tree(header: bytes) -> etree._Element:
    """What can be made of a beginning. Raises FeedError where that is nothing."""
    try:
        found = etree.fromstring(header.strip(), _parser(recover=True))
    except etree.XMLSyntaxError:
        found = None
    if found is None:
        raise FeedError("its beginning is no XML", hint="check the address and the format")
    return found


def _wrapper(head: etree._Element, sample: bytes) -> str:
    """The tag around a block: declares every prefix that rows may use, known or not."""
    spaces: dict[str | None, str] = {"g": GOOGLE_NAMESPACE}
    spaces |= {
        prefix: f"urn:prefix:{prefix}"
        for prefix in map(bytes.decode, _PREFIX.findall(sample))
        if prefix != "g"
    }
    for element in head.iter(etree.Element):
        spaces.update(element.nsmap)
    base = next((base for element in head.iter(etree.Element) if (base := element.get(BASE))), "")
    return "<rows{}{}>".format(
        f" xml:base={_quoted(base)}" if base else "",
        "".join(
            f" xmlns{':' + prefix if prefix else ''}={_quoted(uri)}"
            for prefix, uri in spaces.items()
            if uri and uri not in _RESERVED and prefix not in ("xml", "xmlns")
        ),
    )


def _quoted(value: str) -> str:
    """As the value of an attribute. (`xml.sax.saxutils` brings a client of HTTP with it.)"""
    return '"' + value.translate(_REFERENCES) + '"'


_REFERENCES = str.maketrans({char: f"&#{ord(char)};" for char in '&<>"\n\r\t'})
