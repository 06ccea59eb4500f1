"""A table of numbers as HTML that needs no other file."""

import pandas as pd

STYLE = "<style>.g2-table :is(th, td) {padding: 0 0.8em; text-align: right;}</style>"


def numbers_table(rows: dict[str, dict[str, object]]) -> str:
    """Cells by row and column, numbers with six digits, None as nothing."""
    table = pd.DataFrame.from_dict(rows, orient="index").to_html(
        border=0, classes="g2-table", float_format="{:.6g}".format, na_rep=""
    )
    return STYLE + table
