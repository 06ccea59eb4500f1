"""What one call of a Python program costs, measured in a process that can do no harm.

This is a guard against mistakes: a loop without end, a list that eats the memory, a
program that writes, connects or starts another. It is **no** guard against malice. The
program runs in the same interpreter as the hooks that watch it, and there is no
container, no system call filter and no other user around it: whoever wants out finds a
way. Run in it only what you would also run without it.

What holds it: limits of the operating system on processor time, address space, size of
files written (none) and number of processes (not kept for root); an audit hook that
refuses every event not known to be harmless (sockets, files for writing, removing,
starting processes, loading foreign code, changing the hooks); a limit on waiting; an
empty working folder, an empty environment, and an interpreter without site packages.
Linux, and other systems whose Python has the module ``resource``.
"""

import ast
import importlib.util
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHILD = Path(__file__).with_name("sandbox_child.py")
# Neither this folder, nor user or site packages on the path; no .pyc files written.
_BARE = ("-P", "-s", "-S", "-B")


@dataclass(frozen=True)
class Limits:
    """Where a program is stopped.

    Parameters
    ----------
    cpu_seconds : whole seconds of processor time.
    wall_seconds : seconds on the clock, for a program that only waits.
    memory_bytes : address space, the interpreter's own (some 20 MB) included.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 60.0
    memory_bytes: int = 512 * 2**20


@dataclass(frozen=True)
class Measurement:
    """What a call cost, or why there is no answer.

    Attributes
    ----------
    status : ``ok``; ``error`` (the program raised), ``refused`` (it tried what the
        sandbox forbids), ``time``, ``memory``, or ``killed`` (the process ended
        without an answer).
    ops : executed bytecode instructions; 0 unless ``ok``.
    peak : bytes; 0 unless ``ok``.
    message : type and text of the exception, what was refused, or the signal.
    """

    status: str
    ops: int = 0
    peak: int = 0
    message: str = ""


def measure_call(
    program: str, call: str, limits: Limits | None = None, hash_seed: int = 0
) -> Measurement:
    """Evaluate `call` after `program`, once for each count, in fresh processes.

    ``ops`` are the bytecode instructions executed while the call is evaluated, the
    call's own included: arguments cost what they cost. Functions written in C count as
    the one instruction that calls them. ``peak`` is the most memory that Python's
    allocators held at once during the call (tracemalloc), above what they held before;
    the measurement's own 56 are among them, so that every peak has a logarithm.
    Both depend on the version of CPython. What the program prints is thrown away.

    Modules that the program imports anywhere are loaded before, so that the count is
    the program's and not that of the import system; the call may load no other.

    Parameters
    ----------
    program : definitions, run first and not counted.
    call : one expression.
    limits : Limits() by default, for each of the two processes.
    hash_seed : PYTHONHASHSEED, 0 to 4294967295; fixed, so that sets have one order.

    Raises
    ------
    OSError : this system has no resource limits (Windows).
    ValueError : the texts hold a NUL character.
    """
    if importlib.util.find_spec("resource") is None:
        raise OSError("programs are measured under resource limits: use Linux")
    if "\0" in program + call:
        raise ValueError("a program text cannot hold a NUL character")
    limits = limits or Limits()
    numbers = {}
    for kind in ("ops", "peak"):
        status, number, message = _run(kind, program, call, limits, hash_seed)
        if status != "ok":
            return Measurement(status, message=message)
        numbers[kind] = number
    return Measurement("ok", **numbers)


def imported_modules(program: str) -> list[str]:
    """Names of the modules that a program imports anywhere, also inside functions.

    A text that is no program imports nothing.
    """
    try:
        nodes = list(ast.walk(ast.parse(program)))
    except SyntaxError:
        return []
    names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    parts = [n for n in nodes if isinstance(n, ast.ImportFrom)]
    return names + [n.module for n in parts if n.module and not n.level]


def _run(
    kind: str, program: str, call: str, limits: Limits, hash_seed: int
) -> tuple[str, int, str]:
    """One process -> status, number, message."""
    budget = [str(limits.cpu_seconds), str(limits.memory_bytes)]
    command = [sys.executable, *_BARE, CHILD, kind, *budget, *imported_modules(program)]
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(
                command,
                input=f"{program}\0{call}".encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=empty,
                env={"PYTHONHASHSEED": str(hash_seed), "PYTHONUTF8": "1"},
                timeout=limits.wall_seconds,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return "time", 0, f"{limits.wall_seconds} s on the clock"
    if done.returncode == -signal.SIGXCPU:
        return "time", 0, f"{limits.cpu_seconds} s of processor time"
    status, number, message = (done.stdout.decode().split("\n") + [""] * 3)[:3]
    if done.returncode or not status:
        return "killed", 0, f"exit status {done.returncode}"
    return status, int(number), message
