"""Makes quoted text harmless: it ends no fence, and has no line that looks like memory's own."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from typing import Final

__all__ = ["neutral", "one_line", "quoted"]

_NAMES: Final = ("memory", "summary")
"""Names of the tags that fence what memory adds: `<memory>` and `<summary>`."""
_HARMLESS: Final = "("
"""The sign in place of a tag's opening bracket."""
_LONGEST_NAME: Final = 60
"""Characters of a speaker's name that are shown: a longer one could pass for words that somebody said."""
_FOREIGN: Final = "?"
"""Stands for a letter of another script whose likeness to a Latin one is not known."""
_MOST_FOREIGN: Final = 3
"""Foreign letters in a word that may still be read as a tag's name: with more, Russian or Greek words of six
and seven letters would be taken for tags."""

# What is read as "<": the signs that look like it, and the ways to escape it.
_ANGLES: Final = "<＜﹤‹«˂ᐸ\u2329〈《⟨⟪❬❮❰⦑⧼≪⋘≮≺⋖︿︽𝈶"
_OPENING: Final = re.compile(
    rf"[{_ANGLES}]|&(?:amp;)*(?:lt|#0*60(?!\d)|#x0*3c(?![\da-f]));?|\\u\{{?0*3c\}}?|\\x3c|%(?:25)*3c",
    re.IGNORECASE,
)
# What may stand between the letters of a name that stays readable: white space, signs, unseen characters.
_BETWEEN: Final = r"[\s!-$'-;=?@\[\]^_`{-~\xad\u200b-\u200f\u2060-\u206f\ufeff]"
# One sign of a text as it is read, in the order in which they are tried: a bracket in any spelling, ">", a
# character written as an escape, what may stand between letters, and last any character.
_SIGN: Final = re.compile(
    rf"(?P<opening>{_OPENING.pattern})|(?P<end>>)"
    r"|&(?:amp;)*#(?:0*(?P<decimal>[0-9]{1,7})|x0*(?P<hex>[0-9a-f]{1,6}));?|(?P<named>&[a-z]{2,31};)"
    r"|\\u(?P<four>[0-9a-f]{4})|\\u\{0*(?P<braced>[0-9a-f]{1,6})\}|(?:\\x|%)(?P<two>[0-9a-f]{2})"
    rf"|(?P<between>(?:(?![0-9$@]){_BETWEEN})+)|(?P<letter>.)",
    re.IGNORECASE | re.DOTALL,
)
# A quick look for most brackets: the first letter behind them begins no name, whatever reads like "m" or "s".
_NO_NAME: Final = re.compile(rf"(?:(?![0-9$@]){_BETWEEN})*[a-ln-qt-z346789一-鿿]", re.IGNORECASE)

# Signs of other scripts that are read as letters of the names, capitals where these look different.
_LOOKALIKES: Final = {
    ord(sign): letter
    for letter, signs in {
        "m": "мΜᴍᎷⲘⲙꓟϻӍɱ🅼🅜🇲",
        "e": "еЕΕεєᴇᎬⲈⲉꓰəɛɘ℮🅴🅔🇪",
        "o": "оОοσՕօᴏⲞⲟꓳ০०੦๐໐၀〇ס٥0øɵ🅾🅞🇴",
        "r": "гᴦʀᎡᏒⲅꓣɾɼя🆁🅡🇷",
        "y": "уУүΥγყʏᎩⲨⲩꓬƴ🆈🅨🇾",
        "s": "ѕЅՏꜱᏚꓢʂƽ5$🆂🅢🇸",
        "u": "υμսՍᴜʋꓴцՄ🆄🅤🇺",
        "a": "аАΑαɑᴀᎪⲀⲁꓮ🅰🅐🇦@",
    }.items()
    for sign in signs
}
_UNSEEN: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800_")
"""Letters by Unicode's word that are shown as nothing (Hangul fillers, empty Braille cell) or as a line."""

_BREAKS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Every character after which a reader may begin a new line."""
_CONTINUED: Final = re.compile(rf"[{_BREAKS}](?=[^{_BREAKS}])")
_FORM: Final = re.compile(r"[\[\]:：]")
"""Signs that give form to memory's own lines, such as `[2 May] Ann: …`."""
_JOINERS: Final = "\u200c\u200d"
"""Invisible signs that names in Persian and in Indian scripts are written with."""


def neutral(text: str) -> str:
    """Return a text that can neither end nor open a fence: brackets that begin such a tag become round.

    The text is read as a person would read it: in any width, script or escape, with or without accents, and
    with any signs between the letters. All else stays as it is. Takes time linear in the text.
    """
    opens = False
    pieces: list[str] = []
    end = len(text)
    for found in reversed(list(_OPENING.finditer(text))):
        opens = _is_tag(text, found.end(), followed=opens)
        if opens:
            pieces += [text[found.end() : end], _HARMLESS]
            end = found.start()
    return "".join([text[:end], *reversed(pieces)])


def quoted(text: str) -> str:
    """Return a neutral text whose lines after the first begin with a space, as none of memory's own does."""
    return _CONTINUED.sub(r"\g<0> ", neutral(text))


def one_line(name: str) -> str:
    """Return a speaker's name as a line may begin with it: short, without the signs that give lines form."""
    seen = "".join(" " if _is_control(sign) else sign for sign in name[: 4 * _LONGEST_NAME])
    return " ".join(_FORM.sub(" ", seen).split())[:_LONGEST_NAME].strip(" -")


def _is_control(sign: str) -> bool:
    return unicodedata.category(sign)[0] == "C" and sign not in _JOINERS


def _is_tag(text: str, place: int, *, followed: bool) -> bool:
    """Whether the name of a fence stands right behind a bracket; looks no further than the next bracket.

    Args:
        text: the whole text.
        place: the index right behind the bracket.
        followed: the next bracket begins a tag. It will be made round, so that this bracket would stand
            before the name in its place: `<</memory>`.
    """
    if _NO_NAME.match(text, place):  # true of most brackets, and much faster
        return False
    said = ""
    for sign in _SIGN.finditer(text, place):
        if sign["opening"]:
            return _says_name(said) or (followed and not said)
        if sign["end"]:
            break
        letters = "" if sign["between"] else _letters(_decoded(sign))
        if _says_name(said):
            return letters in {"", _FOREIGN}
        said = (said + letters).replace("rn", "m")
        if not _begins_name(said) and not (said.endswith("r") and _begins_name(said[:-1] + "m")):
            return False
    return _says_name(said)


def _begins_name(said: str) -> bool:
    return any(_reads_as(said, name[: len(said)]) for name in _NAMES)


def _says_name(said: str) -> bool:
    return any(_reads_as(said, name) for name in _NAMES)


def _reads_as(said: str, letters: str) -> bool:
    """Whether letters read as a name (or its beginning), where a few foreign letters may stand for any."""
    return (
        len(said) == len(letters)
        and said.count(_FOREIGN) <= _MOST_FOREIGN
        and all(a in {b, _FOREIGN} for a, b in zip(said, letters, strict=True))
    )


def _decoded(sign: re.Match[str]) -> str:
    kind = sign.lastgroup or ""
    if kind in {"letter", "named"}:
        return unescape(sign[0])
    code = int(sign[kind], 10 if kind == "decimal" else 16)
    return chr(code) if code <= 0x10FFFF else ""  # noqa: PLR2004 (the last code point)


def _letters(text: str) -> str:
    """Return what a text is read as: a to z, digits and `_FOREIGN`; nothing for unseen characters."""
    found = ""
    for sign in unicodedata.normalize("NFKD", text):
        letter = sign.translate(_LOOKALIKES).casefold().translate(_LOOKALIKES)
        if letter.isalnum() and sign not in _UNSEEN:
            found += letter if letter.isascii() else _FOREIGN * len(letter)
    return found
