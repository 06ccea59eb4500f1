"""Sphinx extension: formulas as MathML, for pages whose readers run no script.

MathJax, the same as on the site, translates TeX in a browser. What it writes
is then fitted to MathML Core, which readers of EPUB implement: letters of
other alphabets become characters of their own, alignment becomes style,
equation numbers an ordinary column.
"""

import unicodedata
import xml.etree.ElementTree as ET
from contextlib import ExitStack

from docutils import nodes
from headless import headless
from offline_mathjax import mathjax_script

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ALPHABETS = {
    "double-struck": "DOUBLE-STRUCK",
    "script": "SCRIPT",
    "-tex-calligraphic": "SCRIPT",
    "bold": "BOLD",
    "bold-italic": "BOLD ITALIC",
}
APPLY = "\u2061"  # the invisible sign between a function and its argument
STYLING = {"columnalign", "columnspacing", "rowspacing", "columnwidth", "side"}
STYLING |= {"minlabelspacing", "equalcolumns", "equalrows"}
OPENING, CLOSING = "([{|‖", ")]}"
ET.register_namespace("", NAMESPACE)


class Typesetter:
    """TeX to MathML, in a browser that is started by the first formula."""

    def __init__(self):
        self.browser, self.page, self.known = ExitStack(), None, {}

    def start(self):
        self.page = self.browser.enter_context(headless())
        script = mathjax_script().as_uri()
        self.page.goto(
            script
        )  # as text; from here the script itself may be loaded
        self.page.evaluate("window.MathJax = {startup: {typeset: false}}")
        self.page.add_script_tag(url=script)
        self.page.evaluate("MathJax.startup.promise")

    def __call__(self, tex: str, display: bool) -> str:
        """A ``math`` element, the TeX as its alternative text.

        Raises
        ------
        ValueError
            If MathJax finds an error, such as a macro that it does not know.
        """
        if (tex, display) not in self.known:
            if self.page is None:
                self.start()
            written = self.page.evaluate(
                "([tex, display]) => MathJax.tex2mmlPromise(tex, {display})",
                [tex, display],
            )
            self.known[tex, display] = fit_to_core(written, tex)
        return self.known[tex, display]

    def close(self):
        self.browser.close()


def other_letter(letter: str, variant: str) -> str:
    """The character that is ``letter`` in another alphabet, or the letter.

    >>> other_letter("E", "double-struck"), other_letter("R", "double-struck")
    ('𝔼', 'ℝ')
    """
    case = "CAPITAL" if letter.isupper() else "SMALL"
    alphabet = ALPHABETS.get(variant)
    for name in (
        f"MATHEMATICAL {alphabet} {case} {letter.upper()}",
        f"{alphabet} {case} {letter.upper()}",
        f"MATHEMATICAL {alphabet} DIGIT {unicodedata.name(letter, '')[6:]}",
    ):
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return letter


def tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


ROWS = {tag(name) for name in ("math", "mrow", "mtd", "msqrt")}


def fit_to_core(written: str, tex: str) -> str:
    """MathJax's MathML, reduced to MathML Core; see the top of this file."""
    math = ET.fromstring(written)
    if (error := math.find(f".//{tag('merror')}")) is not None:
        raise ValueError(f"{error.get('data-mjx-error')}: {tex}")
    for node in math.iter():
        for name in [name for name in node.attrib if name.startswith("data-")]:
            del node.attrib[name]
        variant = node.get("mathvariant")
        if variant in ALPHABETS:
            del node.attrib["mathvariant"]
            node.text = "".join(other_letter(c, variant) for c in node.text)
        if node.tag == tag("mtable"):
            align_columns(node)
    for row in list(math.iter()):
        space_functions(row)
    math.set("alttext", " ".join(tex.split()))
    return ET.tostring(math, encoding="unicode")


def space_functions(row: ET.Element):
    """A thin space around ``log`` in ``q log p``, as MathJax draws it."""
    if row.tag not in ROWS:
        return
    parts = [part for part in row if part.text != APPLY]
    row[:] = []
    for part, after in zip(parts, [*parts[1:], None], strict=False):
        row.append(part)
        if after is None or is_sign(after, OPENING) or is_sign(part, OPENING):
            continue
        if (is_function(part) and not is_sign(after)) or (
            is_function(after)
            and (is_sign(part, CLOSING) or not is_sign(part))
        ):
            row.append(thin_space())


def is_function(part: ET.Element) -> bool:
    return part.tag == tag("mi") and len(part.text or "") > 1


def is_sign(part: ET.Element, which: str = "") -> bool:
    """Whether it is an operator, bracket or space, or one of ``which``."""
    if part.tag in (tag("mspace"), tag("mstyle")):
        return not which
    power = part if part.tag == tag("mo") else part.find(tag("mo"))
    return power is not None and (not which or (power.text or " ") in which)


def thin_space() -> ET.Element:
    return ET.Element(tag("mspace"), width="0.167em")


def align_columns(table):
    """Alignment as style of the cells; an equation's number to the right."""
    alignment = table.get("columnalign", "center").split()
    for name in STYLING & set(table.attrib):
        del table.attrib[name]
    for row in table:
        if row.tag == tag("mlabeledtr"):
            row.tag = tag("mtr")
            number = row[0]
            number.attrib.clear()
            row.remove(number)
            row.append(number)
        for column, cell in enumerate(row):
            side = alignment[min(column, len(alignment) - 1)]
            gap = "0" if side == "left" or column == 0 else "1em"
            cell.set(
                "style", f"text-align: {side}; padding: 0.15em 0 0.15em {gap}"
            )


def tex_of(node: nodes.Element) -> str:
    """A block's TeX as Sphinx gives it to MathJax, split into its lines."""
    tex = node.astext().strip()
    wrapped = (
        node.get("nowrap") or r"\\" not in tex or tex.startswith(r"\begin")
    )
    return tex if wrapped else rf"\begin{{split}}{tex}\end{{split}}"


def visit_inline(self, node):
    self.body.append(self.builder.app.typesetter(node.astext(), False))
    raise nodes.SkipNode


def visit_block(self, node):
    math = self.builder.app.typesetter(tex_of(node), True)
    self.body.append(
        self.starttag(node, "div", CLASS="math") + math + "</div>\n"
    )
    raise nodes.SkipNode


def setup(app):
    app.typesetter = Typesetter()
    app.add_html_math_renderer(
        "mathml", (visit_inline, None), (visit_block, None)
    )
    app.connect(
        "build-finished", lambda app, exception: app.typesetter.close()
    )
    return {"parallel_read_safe": True, "parallel_write_safe": False}
