"""Which characters a feed's bytes are: marks, patterns, what is declared, and at last a guess.

Declarations are often wrong, so none is followed against the bytes: what is valid UTF-8 is UTF-8,
and a declared page in which the bytes make no text is passed over.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Control characters that no text format allows; they only break parsers.
_CONTROLS = bytes(set(range(32)) - {*b"\t\n\r\v\f"})
_AS_SPACES = bytes.maketrans(b"\v\f", b"  ")
CONTROL_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_CHARSET = re.compile(r"""[;\s,]charset\s*=\s*["']?\s*([A-Za-z0-9._:+-]{1,40})""", re.IGNORECASE)
# The encodings of the Encoding Standard (WHATWG, 4.2) by Python's names. UTF-7 and EBCDIC are none.
_CODECS = frozenset(
    (
        *("utf-8", "utf-16-le", "utf-16-be", "cp866", "koi8-r", "koi8-u", "mac-roman"),
        *(f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        *("mac-cyrillic", "cp874", *(f"cp{n}" for n in range(1250, 1259))),
        *("gb18030", "big5hkscs", "euc_jp", "iso2022_jp", "cp932", "cp949"),
    )
)
_WIDER = {
    **dict.fromkeys(("iso8859-1", "ascii"), "cp1252"),
    "iso8859-9": "cp1254",
    **dict.fromkeys(("iso8859-11", "tis-620"), "cp874"),
    **dict.fromkeys(("shift_jis", "shift_jis_2004", "shift_jisx0213"), "cp932"),
    "euc_kr": "cp949",
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **dict.fromkeys(("big5", "cp950"), "big5hkscs"),
    "utf-16": "utf-16-le",
}
"""What browsers take for another: the page that has more characters than the name says."""
_NAMES = {
    **dict.fromkeys(("windows-31j", "ms932", "ms_kanji", "csshiftjis", "sjis"), "cp932"),
    **dict.fromkeys(("korean", "iso-ir-149", "csksc56011987", "ksc_5601", "ksc5601"), "cp949"),
    **dict.fromkeys(("ks_c_5601-1987", "ks_c_5601-1989", "windows-949", "cseuckr"), "cp949"),
    **dict.fromkeys(("chinese", "gb_2312", "gb_2312-80", "csgb2312", "windows-936"), "gb18030"),
    **dict.fromkeys(("csiso58gb231280", "iso-ir-58"), "gb18030"),
    **dict.fromkeys(("cn-big5", "csbig5", "x-big5", "big5-hkscs"), "big5hkscs"),
    **dict.fromkeys(("cseucpkdfmtjapanese", "euc-jp"), "euc_jp"),
    **dict.fromkeys(("dos-874", "windows-874", "iso885911"), "cp874"),
    **dict.fromkeys(("koi", "koi8", "koi8_r", "cskoi8r"), "koi8-r"),
    "koi8-ru": "koi8-u",
    **dict.fromkeys(("mac", "csmacintosh", "mac-roman"), "mac-roman"),
    "mac-ukrainian": "mac-cyrillic",
    **dict.fromkeys(("visual", "logical", "csiso88598i", "iso-8859-8-i"), "iso8859-8"),
    **dict.fromkeys(("iso-8859-8-e", "csiso88598e"), "iso8859-8"),
    **dict.fromkeys(("iso-8859-6-e", "iso-8859-6-i", "csiso88596e", "csiso88596i"), "iso8859-6"),
    "sun_eu_greek": "iso8859-7",
    "csisolatin9": "iso8859-15",
    **dict.fromkeys(("unicode", "csunicode", "iso-10646-ucs-2", "ucs-2", "unicodefeff"), "utf-16"),
    "unicodefffe": "utf-16-be",
    **dict.fromkeys(("unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8"), "utf-8"),
}
"""Names that Python lacks, without an `x-` before them."""
_NUMBERED = re.compile(r"(?:win(?:dows)?|ms|cp|ansi)[-_ ]?(125[0-8])")
_ISO = re.compile(r"iso[-_ ]?8859[-_ ]?([0-9]{1,2})(?::[0-9]{4})?")
_HEAD_BYTES = 2000
_ENOUGH_BYTES = 512
_WAIT_BYTES = 1 << 20
_BAD_SHARE = 8
"""A page in which more than one in so many of the bytes beyond ASCII is no character is another."""
_SURE_LETTERS = 20


@dataclass(frozen=True, slots=True)
class Encoding:
    """A feed's encoding as far as its first bytes tell, and what else was said of it."""

    name: str
    """The codec; where all was ASCII so far, that of what is declared, else UTF-8."""
    said: tuple[str, ...] = ()
    """Codecs that were declared, the one to believe first: the document's own, then the server's."""
    fixed: bool = False
    """Nothing that comes can change it."""


def codec_of(name: str) -> str:
    """Python's codec for a name of an encoding, as browsers take it; empty for what is none.

    >>> codec_of("Windows-1251"), codec_of("ISO-8859-1"), codec_of("x-sjis"), codec_of("rot13")
    ('cp1251', 'cp1252', 'cp932', '')
    """
    label = name.strip().lower()
    label = label.removeprefix("x-").removeprefix("x-")
    if found := _NUMBERED.fullmatch(label):
        return f"cp{found[1]}"
    label = f"iso8859-{found[1]}" if (found := _ISO.fullmatch(label)) else label
    try:
        codec = codecs.lookup(_NAMES.get(label, label)).name
    except (LookupError, ValueError):
        return ""
    codec = _WIDER.get(codec, codec)
    return codec if codec in _CODECS else ""


def charset_of(content_type: str) -> str:
    """The charset in a Content-Type, as it is written there; empty where there is none.

    >>> charset_of('text/csv; header=present; Charset="windows-1251"'), charset_of("text/csv")
    ('windows-1251', '')
    """
    found = _CHARSET.search(content_type)
    return found[1].lower() if found else ""


def encoding_of(head: bytes, charset: str = "", fixed: str = "") -> Encoding:
    """The encoding of a feed by its first bytes. `charset`: what the server says; `fixed`: what the
    operator does.

    Order: byte order mark; the operator's word; the pattern of UTF-16; valid UTF-8, whatever is
    declared; the XML declaration; the server's charset; a guess.
    """
    for bom, codec in _BOMS:
        if head.startswith(bom):
            return Encoding(codec, fixed=True)
    if codec := codec_of(fixed):
        return Encoding(codec, fixed=True)
    if codec := _in_pairs(head[:_HEAD_BYTES], codec_of(charset)):
        return Encoding(codec, fixed=True)
    said = tuple(filter(None, (_declared(head), codec_of(charset))))
    if "iso2022_jp" in said and re.search(rb"\x1b[$(]", head):
        return Encoding("iso2022_jp", fixed=True)
    return Encoding(_by_bytes(head, said), said)


def decode(chunks: Iterator[bytes], encoding: Encoding) -> Iterator[str]:
    """Text of the chunks, undecodable bytes as U+FFFD, without control characters."""
    decoder = None
    for codec, data in _settled(chunks, encoding):
        if decoder is None and codec == "ascii":
            yield data.translate(_AS_SPACES, _CONTROLS).decode("ascii")
            continue
        decoder = decoder or codecs.getincrementaldecoder(codec)("replace")
        text = decoder.decode(data)
        if "\v" in text or "\f" in text:
            text = text.replace("\v", " ").replace("\f", " ")
        yield CONTROL_TEXT.sub("", text)
    if decoder:
        yield decoder.decode(b"", True)


def as_utf8(chunks: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
    """Chunks of any encoding as UTF-8. What claims to be UTF-8 already passes as it is, for speed:
    the reader finds bytes that are none, and control characters, when its parser does."""
    decoder = None
    for codec, data in _settled(chunks, encoding):
        if decoder is None and codec in ("ascii", "utf-8"):
            yield data
            continue
        decoder = decoder or codecs.getincrementaldecoder(codec)("replace")
        yield CONTROL_TEXT.sub("", decoder.decode(data)).encode("utf-8", "replace")
    if decoder:
        yield decoder.decode(b"", True).encode("utf-8", "replace")


def _settled(chunks: Iterator[bytes], encoding: Encoding) -> Iterator[tuple[str, bytes]]:
    """Chunks with their codec.

    Where the head was plain ASCII the decision waits for the first 512 bytes beyond it
    (or one MiB after the first of them, or the end), so that memory stays flat.
    """
    if encoding.fixed:
        yield from ((encoding.name, chunk) for chunk in chunks)
        return
    pending = b""
    for chunk in chunks:
        if not pending and chunk.isascii():
            yield "ascii", chunk
            continue
        pending += chunk
        if len(pending) > _WAIT_BYTES or _high(pending) >= _ENOUGH_BYTES:
            break
    if pending:
        codec = _by_bytes(pending, encoding.said)
        yield codec, pending
        yield from ((codec, chunk) for chunk in chunks)


def _in_pairs(sample: bytes, said: str) -> str:
    """UTF-16 without a mark: half of the bytes of a text that is mostly ASCII are zero. Where the
    server says UTF-16 a few will do."""
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if high * 4 > len(sample) or sample.startswith(b"<\0"):
        return "utf-16-le"
    if low * 4 > len(sample) or sample.startswith(b"\0<"):
        return "utf-16-be"
    if said.startswith("utf-16") and max(low, high) * 50 > len(sample):
        return "utf-16-le" if high > low else "utf-16-be"
    return ""


def _declared(head: bytes) -> str:
    """The codec that an XML declaration names, where it is one we would use; else empty."""
    found = _DECLARED.match(head)
    return codec_of(found[1].decode("ascii")) if found else ""


def _by_bytes(data: bytes, said: tuple[str, ...]) -> str:
    """UTF-8 where (nearly) every character beyond ASCII is valid; a cut word now and then is not
    a reason to misread the rest. Else what is declared and makes text of the bytes, else a guess."""
    pages = [_widened(data, codec) for codec in said if not codec.startswith("utf")]
    if data.isascii():
        return (pages or ("utf-8",))[0]
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    bad = text.count("\ufffd")
    high = _high(data)
    good = len(text) - bad - (len(data) - high)
    if good > 9 * bad:
        return "utf-8"
    return next((page for page in pages if _fits(data, page, high)), "") or _guess(data)


def _widened(data: bytes, page: str) -> str:
    """The Windows page where an ISO page is declared that has nothing but controls at 80 to 9F, and
    the data has characters there."""
    sister = _SISTERS.get(page, "")
    return sister if sister and len(_CONTROLS_OF_ISO.findall(data)) * 50 > _high(data) else page


_CONTROLS_OF_ISO = re.compile(rb"[\x80-\x9f]")
_SISTERS = {
    "iso8859-2": "cp1250",
    "iso8859-5": "cp1251",
    "iso8859-6": "cp1256",
    "iso8859-7": "cp1253",
    "iso8859-8": "cp1255",
    "iso8859-13": "cp1257",
    "iso8859-15": "cp1252",
}


def _fits(data: bytes, page: str, high: int) -> bool:
    """Whether the bytes are text in that page. Windows-1252 is what is declared by who does not
    know; text that is Cyrillic all over is none of it."""
    text = codecs.getincrementaldecoder(page)("replace").decode(data)
    if _BAD_SHARE * len(_NO_TEXT.findall(text)) > high:
        return False
    latin, cyrillic = _letters(data) if page == "cp1252" else (0, 0)
    return not cyrillic > latin + _SURE_LETTERS


_NO_TEXT = re.compile("[\ufffd\x80-\x9f]")


def _guess(data: bytes) -> str:
    """The page of which the letters and their neighbours are likeliest, of those of the web. Of little
    Latin text the usual one: a few accents fit many."""
    import chardet

    said = b"\n".join(_SAID.findall(data[:_GUESSED_BYTES]))
    if not said:
        return _guess(data[_GUESSED_BYTES:]) if len(data) > _GUESSED_BYTES else "cp1252"
    era = chardet.EncodingEra.MODERN_WEB
    found = codec_of(chardet.detect(said, encoding_era=era, prefer_superset=True)["encoding"] or "")
    latin, other = _letters(said)
    if latin > other and found not in _OF_SEVERAL_BYTES:
        enough = _high(said) >= _FEW_LETTERS
        only = chardet.detect(said, include_encodings=_LATIN)["encoding"] if enough else None
        return codec_of(only or "") or "cp1252"
    return "cp1252" if not found or found.startswith("utf") else found


_SAID = re.compile(rb'[^<>"\r\n\t,;=&{}\x80-\xff]*+[\x80-\xff][^<>"\r\n\t,;=&{}]*+')
"""What stands between marks and is not all ASCII."""
_LATIN = ("cp1250", "cp1252", "cp1254", "cp1257")
_OF_SEVERAL_BYTES = ("cp932", "euc_jp", "gb18030", "big5hkscs", "cp949")
_FEW_LETTERS = 12
_GUESSED_BYTES = 1 << 18


def _letters(data: bytes) -> tuple[int, int]:
    """Bytes beyond ASCII in words that have ASCII letters too, and in words that have none."""
    latin = cyrillic = 0
    for word in _WORDS.findall(data):
        letters = _high(word)
        latin += letters if letters < len(word) else 0
        cyrillic += letters if 1 < letters == len(word) else 0
    return latin, cyrillic


# Letters of Windows-1251 or 1252. A word with some of ASCII among them is Latin.
_WORDS = re.compile(rb"[A-Za-z\xa8\xb8\xc0-\xff]+")


def _high(data: bytes) -> int:
    """Bytes beyond ASCII."""
    return len(data.translate(None, _ASCII))


_ASCII = bytes(range(128))
