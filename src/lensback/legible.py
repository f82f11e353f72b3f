"""Text from outside, made fit for a terminal, a log and a page: the one place that cleans it.

A feed's title, a server's reply, a file's name may hold what moves the cursor, paints the screen,
turns the order of letters round or begins a new line of a log. Faces let nothing through that has
not been here: the consoles, the log's lines, the pages' templates, and every error's message.
"""

from __future__ import annotations

import re

# ECMA-48: a control sequence (CSI), a string (OSC, DCS, PM, APC, SOS) with its end, any other
# escape. A string that does not end stops at the next control, or after 4,096 signs: linear.
_SEQUENCES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x1f\x7f-\x9f]{0,4096}(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
_STARTS = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")
_SPACES = "\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029"
# C0, DEL and C1; bidi embeddings, overrides and isolates (Unicode TR 9; "Trojan Source"); marks
# that no one sees (zero width space, word joiner, soft hyphen, byte order mark, annotations, tags);
# halves of surrogates and non-characters, which no encoding can write. Joiners stay: they shape words.
FORBIDDEN = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
"""The inside of a character class: what never reaches an eye."""
_FORBIDDEN = re.compile(f"[{FORBIDDEN}]")
_WHITE = re.compile(f"[{_SPACES}]")
# The same without line ends: a class alone is scanned far quicker than one with a look ahead.
_ALL_BUT_LINES = FORBIDDEN.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f")
_NOT_LINES = re.compile(f"[{_ALL_BUT_LINES}]")
_WHITE_BUT_LINES = _SPACES.replace("\n", "")
_WHITE_IN_LINES = re.compile(f"[{_WHITE_BUT_LINES}]")


def legible(text: str, *, lines: bool = False) -> str:
    r"""The text as it may be shown: one line, unless `lines`. Escape sequences go whole, other
    white space becomes a blank, what nobody sees is dropped. Twice is as once.

    >>> legible("530 \x1b[31mlogin as\x1b[0m root\r\nnow \x1b]0;PWNED\x07\u202egpj.exe")
    '530 login as root  now gpj.exe'
    """
    if text.isprintable():  # no control, no format character, no surrogate, no separator but blanks
        return text
    if _STARTS.search(text):
        text = _SEQUENCES.sub("", text)
    if lines:
        if _seen_in_lines(text):
            return text
        text = text.replace("\r\n", "\n")
        return _NOT_LINES.sub("", _WHITE_IN_LINES.sub(" ", text))
    return _FORBIDDEN.sub("", _WHITE.sub(" ", text))


def _seen_in_lines(text: str) -> bool:
    """Whether all of a text is seen but for its line ends and blanks that do not break: most of a page."""
    text = str.replace(text, "\n", "")  # that of `str`: markup has one of its own
    return text.replace("\xa0", "").replace("\u202f", "").isprintable()


def legible_json(dumped: str) -> str:
    r"""JSON text in which what `legible` drops is written as `\u009b`: the same value, and nothing
    that a terminal obeys. Line ends between its parts stay.

    >>> print(legible_json('{"a": "\x9b31m"}'))
    {"a": "\u009b31m"}
    """
    return dumped if dumped.isprintable() else _NOT_LINES.sub(_escaped, dumped)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def cell(text: str) -> str:
    """The text as a cell of a table for a spreadsheet: what others wrote never becomes a formula.

    >>> cell("=1+1"), cell("a=1")
    ("'=1+1", 'a=1')
    """
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def shown(value: object) -> object:
    """What a template writes for a value: text and markup cleaned, with their lines; all else as it
    is. For `finalize` of Jinja, so that no page has an expression that goes past this."""
    return type(value)(legible(value, lines=True)) if isinstance(value, str) else value
