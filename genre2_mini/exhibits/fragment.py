"""An exhibit's files as one output of a notebook cell."""

import json
from importlib.resources import files

from IPython.display import HTML


def fragment(name: str, *scripts: str, **constants: object) -> HTML:
    """``name``.html under the exhibits' common style, then the scripts in their order.

    The scripts share one scope of their own, where the ``constants``, of JSON's types,
    have their own names, and ask nothing from another host. The last one brings every
    element to life that has the class ``g2-<name>`` and not yet the attribute
    ``data-ready``: so copies on one page do not clash.
    """
    folder = files(__package__)
    style, markup, *code = (
        folder.joinpath(file).read_text("utf-8")
        for file in ("exhibit.css", f"{name}.html", *scripts)
    )
    # "</" would end the script element.
    given = (
        f"const {key} = {json.dumps(value)};".replace("</", "<\\/")
        for key, value in constants.items()
    )
    script = "\n".join(["(() => {", '"use strict";', *given, *code, "})();"])
    return HTML(f"<style>\n{style}</style>\n{markup}<script>\n{script}\n</script>")
