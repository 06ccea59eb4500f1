"""Random literals for calls: words that mean nothing, numbers, trees, small texts.

Every function takes a ``random.Random`` first. Sizes from `low` to `high` are spread
evenly over their logarithm.
"""

import math
from random import Random

_SYLLABLES = [
    consonant + vowel
    for consonant, vowel in zip(
        "bcdfghklmnprstvwxyz", "aeiouaiouaeiouaeioa", strict=True
    )
]
_MARKS = ("", "", "", ",", ".", ";", "?")


def size(r: Random, low: int, high: int) -> int:
    """A size from low to high."""
    return round(math.exp(r.uniform(math.log(low), math.log(high))))


def word(r: Random, low: int = 1, high: int = 4) -> str:
    """Syllables, low to high of them."""
    return "".join(r.choices(_SYLLABLES, k=r.randint(low, high)))


def words(r: Random, low: int, high: int) -> list[str]:
    """Low to high words."""
    return [word(r) for _ in range(size(r, low, high))]


def names(r: Random, low: int, high: int) -> list[str]:
    """Different words, at most high."""
    return list(dict.fromkeys(words(r, low, high)))


def text(r: Random, low: int, high: int) -> str:
    """Low to high words, some with a mark."""
    return " ".join(w + r.choice(_MARKS) for w in words(r, low, high))


def lines(r: Random, low: int = 2, high: int = 12) -> list[str]:
    """Low to high lines of a few words."""
    return [text(r, 1, 4) for _ in range(size(r, low, high))]


def edited(r: Random, items: list[str]) -> list[str]:
    """The same items, some left out, changed or doubled."""
    edits = [[item] for item in items]
    for _ in range(r.randint(0, len(items))):
        i = r.randrange(len(items))
        edits[i] = r.choice([[], [word(r)], items[i : i + 1] * 2])
    return [item for edit in edits for item in edit]


def numbers(r: Random, low: int, high: int) -> list[int]:
    """Low to high integers."""
    return [r.randint(-999, 999) for _ in range(size(r, low, high))]


def decimals(r: Random, low: int, high: int) -> list[float]:
    """Low to high numbers with two decimals."""
    return [round(r.uniform(-50, 50), 2) for _ in range(size(r, low, high))]


def nested(r: Random, depth: int = 3):
    """Lists and dictionaries of words and numbers."""
    kind = r.randrange(4) if depth else r.randrange(2)
    if kind < 2:
        return r.randint(0, 9999) if kind else word(r)
    items = [nested(r, depth - 1) for _ in range(r.randint(1, 5))]
    return items if kind == 2 else {word(r): item for item in items}


def tree(r: Random) -> list:
    """A list of nested things."""
    return [nested(r) for _ in range(size(r, 1, 6))]


def graph(r: Random) -> dict[str, list[str]]:
    """Node -> nodes that come before it; no cycle."""
    nodes = names(r, 2, 16)
    before = [nodes[:i] for i in range(len(nodes))]
    return {
        node: r.sample(earlier, r.randint(0, min(len(earlier), 3)))
        for node, earlier in zip(nodes, before, strict=True)
    }


def ini(r: Random) -> str:
    """Sections of keys and values."""
    sections = [
        [f"[{name}]", *(f"{key} = {text(r, 1, 3)}" for key in names(r, 1, 6))]
        for name in names(r, 1, 5)
    ]
    return "\n".join(line for section in sections for line in section)


def pattern(r: Random) -> str:
    """A regular expression."""
    atoms = [word(r), "[a-f]", r"\d", ".", f"({word(r)}|{word(r)})", "[^xyz]"]
    parts = r.choices(atoms, k=size(r, 1, 10))
    return "".join(part + r.choice(["", "", "*", "+", "?", "{2,5}"]) for part in parts)


def query(r: Random) -> str:
    """Fields of a web address, after its question mark."""
    return "&".join(f"{word(r)}={word(r)}%20{word(r)}" for _ in words(r, 1, 12))


def url(r: Random) -> str:
    """A web address that leads nowhere."""
    host = f"https://{word(r)}.example:{r.randint(1, 9999)}"
    return f"{host}/{'/'.join(words(r, 1, 6))}?{query(r)}#{word(r)}"


def markup(r: Random) -> str:
    """A paragraph of HTML."""
    parts = [
        r.choice([f"<b>{w}</b>", f'<a href="{w}">{w}</a>', f"{w} &amp; ", f"&lt;{w} "])
        for w in words(r, 1, 12)
    ]
    return f"<p>{''.join(parts)}</p>"


def expression(r: Random, depth: int = 4) -> str:
    """Arithmetic on names and numbers, in brackets."""
    if not depth or r.random() < 0.2:
        return r.choice([word(r), str(r.randint(0, 99))])
    left, right = expression(r, depth - 1), expression(r, depth - 1)
    return f"({left} {r.choice(['+', '-', '*', '/', '<'])} {right})"


def statements(r: Random) -> str:
    """Assignments, a line each."""
    return "".join(f"{word(r)} = {expression(r)}\n" for _ in words(r, 1, 6))


def network(r: Random, low: int, high: int) -> str:
    """An IPv4 network with low to high bits, as ``10.0.0.0/8``."""
    prefix = r.randint(low, high)
    number = r.getrandbits(prefix) << (32 - prefix)
    octets = number.to_bytes(4, "big")
    return f"{'.'.join(map(str, octets))}/{prefix}"
