"""Sphinx extension: the package's docstrings as they are meant to be read.

Docstrings here are written for people at a prompt: NumPy's style is shortened
to one line for a short field, and a bar is an absolute value or a condition::

    num_samples : S, strings drawn for each input.    |ẑ − z|    π(t | x)

Before napoleon reads them, a description on a field's own line moves below it,
names that share one get it each, and bars lose the meaning that
reStructuredText gives them.
"""

import re

FIELD = re.compile(r"^(?P<name>\*{0,2}\w+(?:, \*{0,2}\w+)*) : (?P<text>.+)$")
TYPE = re.compile(r"[\w.\[\]]+(?: or [\w.\[\]]+)*(?:, optional)?")
BAR = re.compile(r"(``[^`]*``|`[^`]*`)|(?<!\\)\|")


def move_descriptions(lines: list[str]) -> list[str]:
    """``a, b : description`` becomes two fields; ``name : type`` stays."""
    moved = []
    rest = list(lines)
    while rest:
        line = rest.pop(0)
        field = FIELD.match(line)
        if not field or TYPE.fullmatch(field["text"]):
            moved.append(line)
            continue
        description = ["    " + field["text"]]
        while rest and rest[0].startswith(" "):
            description.append(rest.pop(0))
        for name in field["name"].split(", "):
            moved += [name, *description]
    return moved


def escape_bars(line: str) -> str:
    r"""A bar outside of literal text becomes ``\|``."""
    return BAR.sub(lambda match: match[1] or r"\|", line)


def clean(app, what, name, obj, options, lines):
    """Change a docstring's lines in place, as Sphinx asks."""
    lines[:] = [escape_bars(line) for line in move_descriptions(lines)]


def setup(app):
    app.connect(
        "autodoc-process-docstring", clean, priority=400
    )  # napoleon: 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
