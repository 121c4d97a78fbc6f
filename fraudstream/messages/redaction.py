"""Masks card numbers in what is kept of a refused message. Pure, and on bytes: a refused message need not be text."""

import re
from itertools import accumulate

#: Digits of a card number, ISO/IEC 7812-1 (13: old Visa cards).
MIN_DIGITS, MAX_DIGITS = 13, 19
#: More than the longest card number with its separators, so that a cut never goes through one unseen.
CUT_MARGIN = 1024

# Spaces, dashes and their Unicode kin; NUL, for UTF-16 and UTF-32, where each digit stands between them.
_SEPARATOR = rb"(?:[ \t\0-]|\xc2\xa0|\xe2\x80[\x80-\x95]){1,7}"
# A JSON number's digits after the point, such as of a latitude, aren't a card number; they are passed over.
_FRACTION = rb"(?<=[:,\[ ])-?\d{1,3}\.\d+(?=\s*[,}\]])"
_CANDIDATE = re.compile(rb"%s|(?P<run>\d(?:(?:%s)?\d){12,})" % (_FRACTION, _SEPARATOR))
_GROUP = re.compile(rb"\d+")
# JSON's escapes of digits and separators, such as \u0034 and \u00a0.
_ESCAPE = re.compile(rb"\\(?:t|u(?P<code>[0-9a-fA-F]{4}))")
_SEPARATOR_OR_DIGIT = re.compile(rb"%s|\d" % _SEPARATOR)
_MASK = bytes.maketrans(b"0123456789", b"*" * 10)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def redact_card_numbers(raw: bytes) -> bytes:
    """Masks the digits of whatever looks like a card number.

    That is: whole groups of digits, with separators between, of 13 to 19 digits together that pass the Luhn check.
    Linear in the length of `raw`. Where JSON's escapes hide one, they are undone.
    """
    if b"\\" in raw:
        plain = _ESCAPE.sub(_unescaped, raw)
        masked = _CANDIDATE.sub(_mask, plain)
        raw = raw if masked == plain else masked
    return _CANDIDATE.sub(_mask, raw)


def redact(raw: bytes | None, limit: int) -> bytes | None:
    """The first `limit` bytes of `raw`, with card numbers masked, also one that the end cuts; None stays None."""
    return None if raw is None else _cut(raw, limit)


def redact_text(text: str, limit: int) -> str:
    r"""The same for text, of at most `limit` bytes; NUL, which PostgreSQL's text can't hold, becomes `\0`."""
    return _cut(text.encode(errors="replace").replace(b"\0", b"\\0"), limit).decode(errors="ignore")


def is_card_number(text: str) -> bool:
    """True when `text` holds what looks like a card number."""
    raw = text.encode()
    return redact_card_numbers(raw) != raw


def _cut(raw: bytes, limit: int) -> bytes:
    return redact_card_numbers(raw[: limit + CUT_MARGIN])[:limit]


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape["code"]
    character = chr(int(code, 16)).encode(errors="replace") if code else b" "
    return character if _SEPARATOR_OR_DIGIT.fullmatch(character) else escape[0]


def _mask(candidate: re.Match[bytes]) -> bytes:
    run = candidate["run"]
    if run is None:
        return candidate[0]
    masked = bytearray(run)
    for start, end in _card_numbers(run):
        masked[start:end] = run[start:end].translate(_MASK)
    return bytes(masked)


def _card_numbers(run: bytes) -> list[tuple[int, int]]:
    """Start and end of each card number in `run`, which is groups of digits and separators."""
    groups = [match.span() for match in _GROUP.finditer(run)]
    digits = [byte - 48 for byte in run if 48 <= byte <= 57]
    ends = list(accumulate(end - start for start, end in groups))  # in digits
    # Sums up to each digit, of every second one doubled: either those of even or those of odd index.
    sums = [
        list(accumulate((_DOUBLED[d] if i % 2 == odd else d for i, d in enumerate(digits)), initial=0))
        for odd in (0, 1)
    ]
    found: list[tuple[int, int]] = []
    first = 0
    for group, (_, end) in enumerate(groups):
        until = ends[group]
        luhn = sums[until % 2]  # counted from the right, the second digit is doubled, not the last
        while until - (ends[first - 1] if first else 0) > MAX_DIGITS:
            first += 1
        for earlier in range(first, group + 1):
            begin = ends[earlier - 1] if earlier else 0
            if until - begin < MIN_DIGITS:
                break
            if (luhn[until] - luhn[begin]) % 10 == 0:
                start = groups[earlier][0]
                if found and start < found[-1][1]:  # they overlap
                    start = min(start, found.pop()[0])
                found.append((start, end))
                break
    return found
