"""Sphinx extension: pages for paper and for readers that run no script.

Nothing can be clicked there. Code that only draws and the cell that installs
the package are left out, hints and solutions gather at a chapter's end, an
exhibit becomes the address of its page, and raw HTML becomes well-formed. The
site stays as it is: only the EPUB builder does this.
"""

import re

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.transforms import SphinxTransform

SOLUTION, EXHIBIT = "# Solution", 'class="g2-exhibit'
WIDE = 8  # columns
EXERCISE = re.compile(r"Exercise \d+")


def well_formed(html: str) -> str:
    """HTML that XML can read, without scripts, styles and folds.

    >>> well_formed("<details><summary>Hint</summary>a<br>b</details>")
    '<div class="fold"><p class="summary">Hint</p>a<br/>b</div>'
    """
    soup = BeautifulSoup(html, "html.parser")
    for unwanted in soup(["script", "style"]):
        unwanted.decompose()
    for node in soup(True):
        for outdated in ("border", "halign", "valign"):
            del node[outdated]
    for summary in soup("summary"):
        summary.name, summary["class"] = "p", "summary"
    for fold in soup("details"):
        fold.name, fold["class"] = "div", "fold"
    return str(soup).strip()


class StillPages(SphinxTransform):
    """All of it, before Sphinx collects the headings."""

    default_priority = 800

    def apply(self):
        if self.app.builder.name != "epub":
            return
        self.chapter = next(self.document.findall(nodes.section), None)
        if self.chapter is None:
            return
        self.replace_exhibits()
        self.drop_what_is_folded()
        self.gather_solutions()
        self.replace_badges()
        self.link_card_titles()
        for raw in self.document.findall(nodes.raw):
            raw.children = [nodes.Text(well_formed(raw.astext()))]

    @property
    def address(self) -> str:
        return f"{self.config.html_baseurl}{self.env.docname}.html"

    def cells(self) -> list[nodes.container]:
        """The code cells of a notebook, in order."""
        return [
            node
            for node in self.document.findall(nodes.container)
            if node.get("nb_element") == "cell_code"
        ]

    def replace_exhibits(self):
        for cell in self.cells():
            if any(EXHIBIT in raw.astext() for raw in cell.findall(nodes.raw)):
                link = nodes.reference("", self.address, refuri=self.address)
                text = "This part can be tried on the site: "
                cell.replace_self(
                    nodes.paragraph("", text, link, classes=["elsewhere"])
                )

    def drop_what_is_folded(self):
        for cell in self.cells():
            mode = cell.attributes.pop("hide_mode", None)
            if mode == "input":
                cell.remove(cell.children[0])
            elif mode == "all" and not cell.astext().startswith(SOLUTION):
                cell.parent.remove(cell)

    def gather_solutions(self):
        """A last section with an entry for each exercise, linked both ways."""
        end = nodes.section(ids=["solutions"], names=["solutions"])
        end += nodes.title("", "Hints and solutions")
        for exercise in list(self.chapter.findall(nodes.section)):
            title = exercise.next_node(nodes.title).astext()
            helps = [node for node in exercise.children if is_help(node)]
            if not (EXERCISE.match(title) and helps):
                continue
            name, _, rest = title.partition(" · ")
            entry = nodes.section(ids=[f"solution-{name.split()[1]}"])
            back = nodes.reference(
                "", name, internal=True, refid=exercise["ids"][0]
            )
            entry += nodes.title(
                "", "", back, nodes.Text(f" · {rest}" if rest else "")
            )
            for node in helps:
                exercise.remove(node)
                entry += node
            there = nodes.reference(
                "", "Hint and solution", internal=True, refid=entry["ids"][0]
            )
            exercise += nodes.paragraph("", "", there, classes=["to-solution"])
            end += entry
        if len(end) > 1:
            self.chapter += end

    def replace_badges(self):
        """The Colab badge, a picture, becomes two addresses."""
        for link in list(self.document.findall(nodes.reference)):
            if "colab.research" in link.get("refuri", "") and link.next_node(
                nodes.image
            ):
                here = nodes.reference("", "on the site", refuri=self.address)
                colab = nodes.reference("", "in Colab", refuri=link["refuri"])
                link.parent["classes"] = ["elsewhere"]
                link.parent.children = []
                link.parent += [
                    nodes.Text("Read this chapter "),
                    here,
                    nodes.Text(" · run it "),
                    colab,
                ]

    def link_card_titles(self):
        """A card is a link as a whole; without styles its title has to be."""
        for card in self.document.findall(nodes.container):
            if card.get("design_component") != "card":
                continue
            link = next(
                n
                for n in card.findall()
                if "refdoc" in getattr(n, "attributes", ())
            )
            title = next(
                n
                for n in card.findall(nodes.container)
                if n.get("design_component") == "card-title"
            )
            link.parent.parent.remove(link.parent)
            link["classes"], link["refexplicit"] = [], True
            link.children = [nodes.inline("", title.astext())]
            title.children = [nodes.paragraph("", "", link)]


def is_help(node: nodes.Node) -> bool:
    """Whether a node of an exercise is a hint or a solution."""
    if isinstance(node, nodes.raw):
        return node.astext().startswith("<details>")
    if isinstance(node, nodes.Admonition):
        return "dropdown" in node.get("classes", ())
    return isinstance(node, nodes.container) and node.astext().startswith(
        SOLUTION
    )


def lift_lists(app, doctree, docname):
    """A docstring's several returns are a list: no paragraph holds one."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if any(isinstance(child, nodes.bullet_list) for child in paragraph):
            paragraph.replace_self(paragraph.children)


def label_wide_tables(app, doctree, docname):
    """A wide table's cells say their column: on a screen a row is a list."""
    for table in doctree.findall(nodes.tgroup):
        if table["cols"] < WIDE:
            continue
        table.parent["classes"].append("wide")
        names = [
            entry[0].children for entry in table.next_node(nodes.thead)[0]
        ]
        for row in table.next_node(nodes.tbody):
            for name, entry in zip(names[1:], row[1:], strict=True):
                name = [child.deepcopy() for child in name]
                label = nodes.inline(
                    "", "", *name, nodes.Text(": "), classes=["column"]
                )
                entry[0].insert(0, label)


def setup(app):
    app.add_transform(StillPages)
    app.connect("doctree-resolved", lift_lists)
    app.connect("doctree-resolved", label_wide_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
