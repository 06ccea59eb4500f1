"""Calls of forty pure-Python functions of the standard library, on random arguments.

Each function has a writer, which turns a random generator into one call as source text:
literals only, sizes spread evenly over their logarithm, words that mean nothing. Left
out is what looks at the clock, the locale or the disk, and what is written in C.
"""

from collections.abc import Callable
from random import Random

from genre2_mini.tasks import random_literals as rl


def write_calls(per_function: int, seed: int = 0) -> list[tuple[str, str]]:
    """(function, call) pairs, so many different calls of each function."""
    calls = []
    for name, write in WRITERS.items():
        random, texts = Random(f"{name} {seed}"), dict[str, None]()
        while len(texts) < per_function:
            texts[write(random)] = None  # a set that keeps the order
        calls += [(name, text) for text in texts]
    return calls


def module_of(function: str) -> str:
    """The module to import: ``urllib.parse`` for ``urllib.parse.quote``."""
    return function.rpartition(".")[0]


def _subnets(r: Random) -> str:
    network = rl.network(r, 8, 24)
    prefix = int(network.rpartition("/")[2]) + r.randint(1, 5)
    return (
        f"[str(n) for n in ipaddress.ip_network({network!r})"
        f".subnets(new_prefix={prefix})]"
    )


def _collapsed(r: Random) -> str:
    networks = [rl.network(r, 3, 9) for _ in range(rl.size(r, 2, 12))]
    return (
        f"list(ipaddress.collapse_addresses(map(ipaddress.ip_network, {networks!r})))"
    )


def _diff(r: Random, function: str) -> str:
    lines = rl.lines(r)
    return f"list(difflib.{function}({lines!r}, {rl.edited(r, lines)!r}))"


def _ratio(r: Random) -> str:
    words = rl.words(r, 2, 20)
    pair = " ".join(words), " ".join(rl.edited(r, words))
    return f"difflib.SequenceMatcher(None, {pair[0]!r}, {pair[1]!r}).ratio()"


def _template(r: Random) -> str:
    values = {name: rl.word(r) for name in rl.names(r, 1, 8)}
    text = " ".join(f"{rl.word(r)} ${name}" for name in values)
    return f"string.Template({text!r}).substitute({values!r})"


def _formatted(r: Random) -> str:
    values = rl.numbers(r, 1, 8)
    text = " ".join(f"{rl.word(r)} {{:{r.randint(1, 9)}d}}" for _ in values)
    return f"string.Formatter().format({text!r}, *{values!r})"


def _fractions(r: Random) -> str:
    pairs = [(r.randint(1, 99), r.randint(2, 99)) for _ in range(rl.size(r, 1, 10))]
    return f"sum(fractions.Fraction(a, b) for a, b in {pairs!r})"


def _options(r: Random) -> str:
    values = [f"-{r.choice('ab')}" for _ in rl.words(r, 1, 8)]
    values += [f"--size={rl.word(r)}" for _ in rl.words(r, 1, 4)]
    return f"getopt.getopt({values + rl.words(r, 1, 4)!r}, 'ab', ['size='])"


def _regression(r: Random) -> str:
    pairs = [(i, round(r.gauss(i, 3), 1)) for i in range(rl.size(r, 3, 40))]
    return f"statistics.linear_regression(*zip(*{pairs!r}))"


def _merged(r: Random) -> str:
    rows = [sorted(rl.numbers(r, 1, 16)) for _ in range(r.randint(2, 5))]
    return f"list(heapq.merge(*{rows!r}))"


WRITERS: dict[str, Callable[[Random], str]] = {
    "ast.literal_eval": lambda r: f"ast.literal_eval({repr(rl.tree(r))!r})",
    "ast.unparse": lambda r: f"ast.unparse(ast.parse({rl.statements(r)!r}))",
    "calendar.month": lambda r: (
        f"calendar.month({r.randint(1, 9999)}, {r.randint(1, 12)})"
    ),
    "collections.namedtuple": lambda r: (
        f"collections.namedtuple('Row', {rl.names(r, 1, 16)!r})"
    ),
    "configparser.ConfigParser": lambda r: (
        f"configparser.ConfigParser().read_string({rl.ini(r)!r})"
    ),
    "copy.deepcopy": lambda r: f"copy.deepcopy({rl.tree(r)!r})",
    "difflib.SequenceMatcher": _ratio,
    "difflib.get_close_matches": lambda r: (
        f"difflib.get_close_matches({rl.word(r)!r}, {rl.words(r, 2, 25)!r})"
    ),
    "difflib.ndiff": lambda r: _diff(r, "ndiff"),
    "difflib.unified_diff": lambda r: _diff(r, "unified_diff"),
    "encodings.punycode.punycode_encode": lambda r: (
        f"encodings.punycode.punycode_encode({rl.text(r, 1, 8).replace('a', 'ä')!r})"
    ),
    "fractions.Fraction": _fractions,
    "getopt.getopt": _options,
    "graphlib.TopologicalSorter": lambda r: (
        f"list(graphlib.TopologicalSorter({rl.graph(r)!r}).static_order())"
    ),
    "heapq.merge": _merged,
    "heapq.nlargest": lambda r: (
        f"heapq.nlargest({r.randint(2, 9)}, {rl.numbers(r, 4, 50)!r})"
    ),
    "html.parser.HTMLParser": lambda r: (
        f"html.parser.HTMLParser().feed({rl.markup(r)!r})"
    ),
    "html.unescape": lambda r: f"html.unescape({rl.markup(r)!r})",
    "ipaddress.collapse_addresses": _collapsed,
    "ipaddress.ip_network": _subnets,
    "json.dumps": lambda r: f"json.dumps({rl.tree(r)!r}, indent={r.randint(1, 4)})",
    "pprint.pformat": lambda r: (
        f"pprint.pformat({rl.tree(r)!r}, width={r.randint(9, 79)})"
    ),
    "plistlib.dumps": lambda r: f"plistlib.dumps({rl.tree(r)!r})",
    "random.Random": lambda r: (
        f"random.Random({r.randint(0, 999)}).sample(range(300), {rl.size(r, 1, 200)})"
    ),
    "re.compile": lambda r: f"re.compile({rl.pattern(r)!r})",
    "reprlib.repr": lambda r: f"reprlib.repr({rl.tree(r)!r})",
    "shlex.join": lambda r: f"shlex.join({rl.lines(r, 1, 16)!r})",
    "shlex.split": lambda r: f"shlex.split({rl.text(r, 1, 20)!r})",
    "statistics.linear_regression": _regression,
    "statistics.quantiles": lambda r: (
        f"statistics.quantiles({rl.decimals(r, 3, 40)!r}, n={r.randint(2, 20)})"
    ),
    "statistics.variance": lambda r: f"statistics.variance({rl.decimals(r, 3, 40)!r})",
    "string.Formatter": _formatted,
    "string.Template": _template,
    "textwrap.dedent": lambda r: (
        f"textwrap.dedent({''.join(f'    {line}{chr(10)}' for line in rl.lines(r))!r})"
    ),
    "textwrap.indent": lambda r: (
        f"textwrap.indent({chr(10).join(rl.lines(r))!r}, '{' ' * r.randint(1, 8)}')"
    ),
    "textwrap.shorten": lambda r: (
        f"textwrap.shorten({rl.text(r, 2, 40)!r}, {rl.size(r, 10, 99)})"
    ),
    "textwrap.wrap": lambda r: (
        f"textwrap.wrap({rl.text(r, 2, 40)!r}, {rl.size(r, 10, 99)})"
    ),
    "urllib.parse.parse_qs": lambda r: f"urllib.parse.parse_qs({rl.query(r)!r})",
    "urllib.parse.quote": lambda r: f"urllib.parse.quote({rl.text(r, 1, 20)!r})",
    "urllib.parse.urlsplit": lambda r: f"urllib.parse.urlsplit({rl.url(r)!r})",
}
