"""How numbers and names are put into words; every report uses these, so that one number looks the same everywhere."""

import math
import unicodedata

from partita.units import ms

NUMBER_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories that can move the cursor, reverse the reading direction or cannot be encoded."""


def printable(text: str) -> str:
    r"""A name from a model file as it may be shown: control and direction characters by their escapes.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in UNPRINTABLE else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def shortened(text: str, width: int) -> str:
    """At most `width` characters, the middle left out: ends of node names tell more than their middles.

    >>> shortened("features/layer.12/attention/MatMul", 17)
    'features…n/MatMul'
    """
    if len(text) <= width:
        return text
    head = width // 2
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"


def significant(number: float, digits: int = 3) -> str:
    """The number with `digits` significant digits and no exponent.

    >>> significant(17.2466), significant(0.0041), significant(1234.6)
    ('17.2', '0.00410', '1235')
    """
    if number == 0 or not math.isfinite(number):
        return f"{number:.0f}"
    places = digits - 1 - math.floor(math.log10(abs(number)))
    return f"{number:.{max(places, 0)}f}"


def ms_text(time_us: float, digits: int = 3) -> str:
    """A time in milliseconds, with its unit."""
    return f"{significant(ms(time_us), digits)} ms"


def bytes_text(size_bytes: float) -> str:
    """A size in the largest decimal unit that leaves at least one.

    >>> bytes_text(512), bytes_text(150528), bytes_text(2.4e9)
    ('512 B', '151 kB', '2.40 GB')
    """
    for unit, size in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if size_bytes >= size:
            return f"{significant(size_bytes / size)} {unit}"
    return f"{size_bytes:.0f} B"


def percent_text(share: float) -> str:
    """A share in whole percent, except that a little is not nothing and nearly all is not all.

    >>> percent_text(0.004), percent_text(0.5), percent_text(0.998)
    ('< 1 %', '50 %', '> 99 %')
    """
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{share * 100:.0f} %"


def percent_at_most(share: float) -> str:
    """A share rounded up, so that "within" stays true: to 0.1 % below ten percent, to 1 % above.

    >>> percent_at_most(0.00032), percent_at_most(0.1201)
    ('0.1 %', '13 %')
    """
    percent = share * 100
    if percent < 10:
        return f"{math.ceil(round(percent * 10, 6)) / 10:.1f} %"
    return f"{math.ceil(round(percent, 6)):.0f} %"


def count_text(count: int, noun: str) -> str:
    """A number in words up to twelve, with its noun.

    >>> count_text(1, "operator"), count_text(3, "operator"), count_text(1200, "operator")
    ('one operator', 'three operators', '1,200 operators')
    """
    number = NUMBER_WORDS[count] if count < len(NUMBER_WORDS) else f"{count:,}"
    return f"{number} {noun}{'' if count == 1 else 's'}"


def decibel_text(snr_db: float) -> str:
    """A signal-to-noise ratio; without noise it is infinite.

    >>> decibel_text(61.23), decibel_text(math.inf), decibel_text(-math.inf)
    ('61.2 dB', 'no difference', 'no signal')
    """
    if math.isinf(snr_db):
        return "no difference" if snr_db > 0 else "no signal"
    return f"{snr_db:.1f} dB"


def ratio_text(ratio: float) -> str:
    """How many times, for example "2.9x"."""
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:,.0f}x"
