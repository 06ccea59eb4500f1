"""The sandbox: what it counts, and what it stops."""

import subprocess
import sys

import pytest

from genre2_mini.tasks import sandbox
from genre2_mini.tasks.sandbox import Limits, imported_modules, measure_call

QUICK = Limits(cpu_seconds=1, wall_seconds=30, memory_bytes=128 * 2**20)

LOOP = "def f(n):\n    for i in range(n):\n        i * i\n"


def ops(program, call, **settings):
    found = measure_call(program, call, **settings)
    assert found.status == "ok", found
    return found.ops


# --- What is counted ----------------------------------------------------------


def test_every_turn_of_a_loop_costs_the_same_instructions():
    first, second, third = (ops(LOOP, f"f({n})") for n in (100, 200, 300))
    assert third - second == second - first > 0


def test_a_function_written_in_c_is_one_instruction_however_long_it_works():
    assert ops("", "sum(range(10))") == ops("", "sum(range(1000000))")


def test_definitions_are_not_counted_and_generators_are():
    lines = "".join(f"x{i} = {i}\n" for i in range(100))
    assert ops(lines, "1") == ops("", "1")
    numbers = "def g(n):\n    yield from map(abs, range(n))\n"
    assert ops(numbers, "list(g(20))") > ops(numbers, "list(g(10))")


@pytest.mark.parametrize("size", [10**5, 10**6])
def test_the_peak_is_that_of_the_call(size):
    """Above what the program holds, and also of what is gone at the end."""
    program = f"held = bytearray({size})\ndef f():\n    len(bytearray({size}))\n"
    found = measure_call(program, "f()")
    assert found.status == "ok"
    assert size <= found.peak < size + 1000


def test_a_peak_has_a_logarithm():
    assert 0 < measure_call("", "1").peak < 100


def test_counts_are_the_same_in_every_process_and_for_every_hash_seed():
    program = "def f(words):\n    return sorted({w.upper() for w in words})\n"
    call = f"f({[f'word{i}' for i in range(50)]})"
    assert len({ops(program, call, hash_seed=seed) for seed in (0, 0, 1, 2)}) == 1


def test_importing_is_not_counted_wherever_the_program_does_it():
    inside = "def f():\n    import graphlib\n    return graphlib.TopologicalSorter\n"
    assert ops(inside, "f()") < 20
    assert imported_modules(inside) == ["graphlib"]
    assert imported_modules("from os import path\nimport re, json") == [
        *("re", "json", "os")
    ]
    assert imported_modules("no program") == []


# --- What is stopped ----------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "call", "status", "message"),
    [
        ("def f():\n    while True:\n        pass", "f()", "time", "1 s of processor"),
        (
            "x = [0]\ndef f():\n    while True:\n        x.extend(x)",
            "f()",
            "memory",
            "",
        ),
        ("", "bytearray(10**12)", "memory", ""),
        ("", "open('made', 'w')", "refused", "open of 'made'"),
        ("", "open('/etc/passwd')", "refused", "open of"),
        ("open('made', 'a')", "1", "refused", "open of 'made'"),
        ("import os", "os.open('made', os.O_CREAT)", "refused", "open of 'made'"),
        ("import os", "os.mkdir('made')", "refused", "os.mkdir"),
        ("import os", "os.remove('made')", "refused", "os.remove"),
        ("import os", "os.rename('made', 'other')", "refused", "os.rename"),
        ("import socket\nsocket.socket()", "1", "refused", "import of '_socket'"),
        ("", "__import__('socket')", "refused", "import of 'socket'"),
        ("import subprocess", "1", "refused", "import of '_posixsubprocess'"),
        ("import os", "os.system('true')", "refused", "os.system"),
        ("import os", "os.fork()", "refused", "os.fork"),
        ("import os", "os.kill(os.getppid(), 9)", "refused", "os.kill"),
        ("import os", "os.execv('/bin/true', ['true'])", "refused", "os.exec"),
        ("import ctypes", "1", "refused", "import of '_ctypes'"),
        ("import sys", "sys.settrace(None)", "refused", "sys.settrace"),
        (
            "import threading",
            "threading.Thread(target=print).start()",
            *("refused", "_thread.start"),
        ),
        ("import os", "os._exit(0)", "killed", "exit status 0"),
    ],
)
def test_a_program_is_stopped(program, call, status, message):
    found = measure_call(program, call, QUICK)
    assert (found.status, found.ops, found.peak) == (status, 0, 0)
    assert found.message.startswith(message)


def test_a_program_that_only_waits_is_stopped_by_the_clock():
    limits = Limits(wall_seconds=0.5)
    found = measure_call("import time", "time.sleep(60)", limits)
    assert (found.status, found.message) == ("time", "0.5 s on the clock")


def test_a_file_stays_as_it_was(tmp_path):
    made = tmp_path / "made"
    made.write_text("as before")
    for mode in ("w", "a", "r+"):
        assert measure_call("", f"open({str(made)!r}, {mode!r})").status == "refused"
    assert made.read_text() == "as before"
    assert list(tmp_path.iterdir()) == [made]


def test_the_system_lets_no_byte_be_written_where_the_guard_does_not_look(tmp_path):
    script = (
        f"import sys; sys.path.append({str(sandbox.CHILD.parent)!r})\n"
        "import sandbox_child\n"
        "sandbox_child.set_limits(5, 2**29)\n"
        "open('made', 'wb', buffering=0).write(b'x')"
    )
    command = [sys.executable, "-I", "-c", script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "File too large" in ended.stderr
    assert (tmp_path / "made").read_text() == ""


def test_a_refusal_that_the_program_swallows_is_reported_all_the_same():
    program = "import os\ntry:\n    os.mkdir('made')\nexcept Exception:\n    pass"
    assert measure_call(program, "1").status == "refused"


# --- What the program finds ---------------------------------------------------


def test_it_starts_in_an_empty_folder_without_our_environment(monkeypatch):
    monkeypatch.setenv("SECRET", "of the caller")
    program = "import os\nassert os.listdir() == []\nassert 'SECRET' not in os.environ"
    assert measure_call(program, "1").status == "ok"


def test_it_has_the_standard_library_and_nothing_else():
    found = measure_call("import numpy", "1")
    assert found.status == "error"
    assert found.message == "ModuleNotFoundError: No module named 'numpy'"


def test_what_it_prints_is_thrown_away():
    assert measure_call("", "print('ok\\n1\\n' * 10000)").status == "ok"


@pytest.mark.parametrize(
    ("program", "call", "message"),
    [
        ("", "1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(n):\n    return f(n)", "f(0)", "RecursionError: maximum recursion"),
        ("def f(:", "1", "SyntaxError: "),
        ("", "a b", "SyntaxError: "),
        ("", "undefined", "NameError: name 'undefined' is not defined"),
        ("import sys", "sys.exit(3)", "SystemExit: 3"),
        (
            "def f():\n    raise ValueError('two\\nlines')",
            "f()",
            "ValueError: two lines",
        ),
    ],
)
def test_an_exception_is_reported_with_its_type(program, call, message):
    found = measure_call(program, call)
    assert (found.status, found.ops, found.peak) == ("error", 0, 0)
    assert found.message.startswith(message)


# --- What is no program or no system for it -----------------------------------


def test_a_text_with_a_zero_byte_is_refused():
    with pytest.raises(ValueError, match="cannot hold a NUL character"):
        measure_call("x = '\0'", "x")


def test_a_system_without_limits_is_refused(monkeypatch):
    monkeypatch.setattr(sandbox.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match="under resource limits: use Linux"):
        measure_call("", "1")
