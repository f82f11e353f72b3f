"""XML rows out of a stream of text, in blocks: flat memory, and one broken row stays one.

The text is mended before a parser sees it: DOCTYPE (so no DTD, no entity of the file's own,
no bomb), comments and processing instructions are dropped; bare ampersands are escaped; named
HTML entities become numbers. Line numbers survive. Whole rows are then parsed in blocks of about
256 KiB; a block that does not parse is parsed row by row, and each bad row is a Rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from html.entities import html5
from typing import cast
from xml.sax.saxutils import quoteattr

from lxml import etree

from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import batch, clean
from lensback.types import Offer, Rejected

BLOCK_CHARS = 1 << 18
MAX_ROW_CHARS = 4 << 20
MAX_HEAD_CHARS = 64 << 20
GOOGLE_NAMESPACE = "http://base.google.com/ns/1.0"

# --- mending ----------------------------------------------------------------------------------

_AMPERSAND = re.compile(
    r"&(?!(?:amp|lt|gt|quot|apos);)(#[xX][0-9A-Fa-f]{1,6};|#[0-9]{1,7};|[A-Za-z][A-Za-z0-9]{0,31};)?"
)
_SPECIAL = re.compile(r"<(?:!\[CDATA\[|!--|\?|![Dd][Oo][Cc][Tt][Yy][Pp][Ee])")
_ENDS = {"<![CDATA[": "]]>", "<!--": "-->", "<?": "?>"}
# Each alternative runs to its end or to the end of the text: linear on any input.
_DOCTYPE = re.compile(r"\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|<!--.*?(?:-->|\Z)|<|>", re.DOTALL)
_MAX_DOCTYPE = 1 << 20


Piece = tuple[str, bool]


def mend(text: Iterator[str]) -> Iterator[Piece]:
    """Pieces of well-behaved XML in order; True for markup, False for what lies in CDATA."""
    buffer = ""
    for chunk in text:
        buffer += chunk
        buffer = yield from _mended(buffer, last=False)
    yield from _mended(buffer, last=True)


def _mended(buffer: str, *, last: bool) -> Generator[Piece, None, str]:
    """Yields what is sure and returns what must wait for more."""
    at = 0
    while special := _SPECIAL.search(buffer, at):
        if special.start() > at:
            yield _AMPERSAND.sub(_entity, buffer[at : special.start()]), True
        at = special.start()
        mark = _ENDS.get(special[0])
        end = _end(buffer, special.end(), mark) if mark else _doctype_end(buffer, at)
        if end < 0:
            if not last and len(buffer) - at <= MAX_ROW_CHARS:
                return buffer[at:]
            end = len(buffer)
        inner = buffer[at:end]
        if mark == "]]>":
            yield inner, False
        elif lines := inner.count("\n"):
            yield "\n" * lines, False
        at = end
    # Up to the last `>`, so that no tag and no entity is cut.
    end = len(buffer) if last or len(buffer) - at > MAX_ROW_CHARS else buffer.rfind(">", at) + 1
    if end > at:
        yield _AMPERSAND.sub(_entity, buffer[at:end]), True
        at = end
    return buffer[at:]


def _end(buffer: str, at: int, mark: str) -> int:
    found = buffer.find(mark, at)
    return found + len(mark) if found >= 0 else -1


def _doctype_end(buffer: str, at: int) -> int:
    depth = 0
    for token in _DOCTYPE.finditer(buffer, at, at + _MAX_DOCTYPE):
        depth += {"<": 1, ">": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    if len(buffer) - at > _MAX_DOCTYPE:
        raise FeedError("its DOCTYPE does not end", hint="ask the store for a feed without a DTD")
    return -1


def _entity(found: re.Match[str]) -> str:
    body = found[1]
    if body is None:
        return "&amp;"
    if body[0] != "#":
        value = html5.get(body)
        return "".join(f"&#{ord(char)};" for char in value) if value else "&amp;" + body
    code = int(body[2:-1], 16) if body[1] in "xX" else int(body[1:-1])
    if 0x80 <= code <= 0x9F:  # old pages write Windows-1252 so
        code = ord(bytes([code]).decode("cp1252", "replace"))
    legal = code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD
    return f"&#{code};" if legal or 0x10000 <= code <= 0x10FFFF else " "


# --- rows -------------------------------------------------------------------------------------

_FIRST_TAG = re.compile(r"<([^\s<>/!?&]+)")
_PREFIX = re.compile(r"</?([A-Za-z_][\w.\-]*):[\w.\-]")
_RESERVED = ("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/")
_NESTED = etree.XPath("boolean(/*/*/*/*)")
_TAIL_CHARS = 1 << 16
_SAMPLE_CHARS = 120


class Document:
    """An XML feed: `head`, the tree of what precedes the first row, and `rows()`."""

    def __init__(self, text: Iterator[str], row_names: tuple[str, ...]) -> None:
        """Reads up to the first row. Raises FeedError where there is none."""
        names = "|".join(map(re.escape, row_names))
        self._pieces = mend(text)
        self._header, self._rest, self._name = self._open(
            re.compile(rf"<((?:[\w.\-]+:)?(?:{names}))(?=[\s/>])", re.IGNORECASE)
        )
        self.head = _tree(self._header)
        self._opening = _wrapper(self.head, self._rest[:MAX_ROW_CHARS])
        self._parser = _parser(recover=False)
        self._tail = ""
        # Row starts and ends outside CDATA; the first alternative swallows CDATA whole.
        name = re.escape(self._name)
        self._edges = re.compile(
            rf"<!\[CDATA\[.*?(?:\]\]>|\Z)|(<{name}(?=[\s/>]))|(</{name}\s*+>)", re.DOTALL
        )
        self._starts = re.compile(rf"<{name}(?=[\s/>])")

    def blocks(self) -> Iterator[Block | Rejected]:
        """The rows in order, as many at once as parse together, or why one was refused. Raises
        FeedTruncated, after the last whole row, where the document does not end with its
        closing tag.
        """
        line = self._header.count("\n")
        for block in self._blocks():
            if block.startswith("<" + self._name):
                yield from self._parse(block, line)
            line += block.count("\n")
        root = _FIRST_TAG.search(self._header)
        if root and f"</{root[1]}" not in self._tail:
            raise FeedTruncated(
                f"the feed stops in the middle, after line {line + 1}",
                hint="fetch it again; what came before was read",
            )

    def _open(self, row: re.Pattern[str]) -> tuple[str, str, str]:
        """What precedes the first row, the piece it begins, and its name."""
        parts: list[str] = []
        size = 0
        for piece, markup in self._pieces:
            if markup and (found := row.search(piece)):
                header = "".join(parts) + piece[: found.start()]
                return header, piece[found.start() :], found[1]
            parts.append(piece)
            size += len(piece)
            if size > MAX_HEAD_CHARS:
                break
        raise FeedError("there is no offer in it", hint="check the address and the format")

    def _blocks(self) -> Iterator[str]:
        """The rest of the text, cut before row starts; sets `_tail` to what follows the last row."""
        parts = [self._rest]
        size, cut = len(self._rest), (0, self._last_start(self._rest))
        for piece, markup in self._pieces:
            if size >= BLOCK_CHARS and cut > (0, 0):
                index, offset = cut
                yield "".join(parts[:index]) + parts[index][:offset]
                parts = [parts[index][offset:], *parts[index + 1 :]]
                size, cut = sum(map(len, parts)), (0, 0)
            elif size > MAX_ROW_CHARS:
                whole = "".join(parts)
                end = max(self._last_end(whole), len(whole) - _TAIL_CHARS)
                yield whole[:end]
                parts, size = [whole[end:]], len(whole) - end
            parts.append(piece)
            size += len(piece)
            if markup and (at := self._last_start(piece)) >= 0:
                cut = (len(parts) - 1, at)
        whole = "".join(parts)
        end = self._last_end(whole)
        self._tail = whole[end:]
        yield whole[:end]

    def _last_start(self, piece: str) -> int:
        at = len(piece)
        while (at := piece.rfind("<" + self._name, 0, at)) >= 0:
            if self._starts.match(piece, at):
                return at
        return -1

    def _spans(self, block: str) -> Iterator[tuple[int, int]]:
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
    def _closed_itself(block: str, start: int, stop: int) -> int:
        """End of a row like `<offer id="7" deleted="true"/>`, or -1."""
        end = block.find(">", start, stop) + 1
        return end if end and block[end - 2] == "/" else -1

    def _last_end(self, block: str) -> int:
        """Where the last row ends. A last row without an end is left to the tail,
        unless the document goes on behind it: then it is a broken row."""
        start = end = 0
        for start, end in self._spans(block):  # noqa: B007 - the last one counts
            pass
        return end if end >= 0 else start

    def _parse(self, block: str, line: int) -> Iterator[Block | Rejected]:
        try:
            tree = self._tree_of(block)
        except etree.XMLSyntaxError:
            yield from self._one_by_one(block, line)
            return
        yield Block(tree, lambda: self._lines(block, line))

    def _one_by_one(self, block: str, line: int) -> Iterator[Block | Rejected]:
        for (start, end), at in zip(self._spans(block), self._lines(block, line), strict=True):
            tree = self._one(block[start:end]) if 0 < end <= start + MAX_ROW_CHARS else None
            if tree is None:
                sample = " ".join(block[start : start + _SAMPLE_CHARS].split())
                yield Rejected("broken xml", at, sample=sample)
            else:
                yield Block(tree, lambda at=at: [at])  # type: ignore[misc]

    def _one(self, row: str) -> etree._Element | None:
        try:
            return self._tree_of(row)
        except etree.XMLSyntaxError:
            return None

    def _lines(self, block: str, line: int) -> list[int]:
        """The line on which each row begins; `line` lines are before the block."""
        found: list[int] = []
        at = 0
        for start, _ in self._spans(block):
            line += block.count("\n", at, start)
            at = start
            found.append(line + 1)
        return found

    def _tree_of(self, block: str) -> etree._Element:
        return etree.fromstring(
            (self._opening + block + "</rows>").encode("utf-8", "replace"), self._parser
        )


class Block:
    """Rows that were parsed together, whose elements are the children of `tree`."""

    def __init__(self, tree: etree._Element, lines: Callable[[], list[int]]) -> None:
        self.rows = list(tree.iterchildren(tree[0].tag))
        self.flat = not _NESTED(tree)
        """No row has an element inside an element."""
        self._lines = lines

    def offers(self, columns: batch.Columns, rules: clean.Rules) -> list[Offer | Rejected]:
        """What the rows' values make, with the lines of those that are refused."""
        made = batch.offers(columns, len(self.rows), rules)
        refused = [i for i, row in enumerate(made) if isinstance(row, Rejected)]
        if refused:
            lines = self._lines()
            for i in refused:
                line = lines[i] if len(lines) == len(made) else 0
                made[i] = replace(cast("Rejected", made[i]), line=line)
        return made


def local(name: str) -> str:
    """`{http://base.google.com/ns/1.0}id` -> `id`."""
    return name.rpartition("}")[2]


def inner_text(element: etree._Element) -> str:
    """All characters in an element, of inner elements too."""
    return "".join(str(part) for part in element.itertext()) if len(element) else element.text or ""


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        collect_ids=False,
    )


def _tree(header: str) -> etree._Element:
    try:
        tree = etree.fromstring(header.strip().encode("utf-8", "replace"), _parser(recover=True))
    except etree.XMLSyntaxError:
        tree = None
    if tree is None:
        raise FeedError("its beginning is no XML", hint="check the address and the format")
    return tree


def _wrapper(head: etree._Element, sample: str) -> str:
    """The tag around a block: declares every prefix that rows may use, known or not."""
    spaces: dict[str | None, str] = {"g": GOOGLE_NAMESPACE}
    spaces |= {
        prefix: f"urn:prefix:{prefix}" for prefix in _PREFIX.findall(sample) if prefix != "g"
    }
    for element in head.iter(etree.Element):
        spaces.update(element.nsmap)
    return "<rows{}>".format(
        "".join(
            f" xmlns{':' + prefix if prefix else ''}={quoteattr(uri)}"
            for prefix, uri in spaces.items()
            if uri and uri not in _RESERVED and prefix not in ("xml", "xmlns")
        )
    )
