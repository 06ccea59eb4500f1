"""The inside of the sandbox: a script that runs one call of one program and counts it.

`sandbox.measure_call` starts it in a bare interpreter, with the program and the call on
standard input. It needs nothing but the standard library, and imports little of it, for
it is started thousands of times. Three lines on standard output are its answer: a
status, a number (ops or bytes) and a message.
"""

import _thread
import gc
import os
import resource
import sys
from types import FunctionType

# Auditing events (docs.python.org/3/library/audit_events.html) that change nothing but
# the interpreter itself. Everything else is refused, also what later versions add.
_HARMLESS = {
    "builtins.id",
    "code.__new__",
    "compile",
    "exec",
    "function.__new__",
    "object.__delattr__",
    "object.__getattr__",
    "object.__setattr__",
    "sys._getframe",
    "sys._getframemodulename",
    "time.sleep",
}
CALLING = frozenset(_HARMLESS)
# A program's definitions may import: that looks for files and reads them.
DEFINING = CALLING | {"import", "marshal.loads", "open", "os.listdir", "os.scandir"}
# This script itself, never the program.
COUNTING = frozenset({"sys._getframe", "sys.settrace"})
_WAYS_OUT = {"_ctypes", "_multiprocessing", "_posixsubprocess", "_socket", "mmap"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """An audit hook that raises PermissionError for what is not in `allowed`.

    `refused` remembers it, for a program may swallow the exception.
    """

    def __init__(self) -> None:
        self.allowed, self.refused = DEFINING, ""

    def __call__(self, event: str, arguments: tuple) -> None:
        fine = event in self.allowed
        if fine and event == "open":
            _, mode, flags = arguments
            fine = not (flags & _WRITING or set(mode or "") & set("wax+"))
        elif fine and event == "import":
            fine = arguments[0] not in _WAYS_OUT
        if not fine:
            detail = f" of {arguments[0]!r}" if event in ("open", "import") else ""
            self.refused = self.refused or f"{event}{detail}"
            raise PermissionError(f"the sandbox refuses {event}{detail}")


class OpCounter:
    """A trace function; `ops` is the number of bytecode instructions it has seen."""

    def __init__(self) -> None:
        self.ops = 0

    def enter(self, frame, event, argument):
        """A frame starts, or a generator goes on."""
        frame.f_trace = self.count  # before the next line, for Python 3.13
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self.count

    def count(self, frame, event, argument):
        """An instruction is about to run, or the frame ends."""
        if event == "opcode":
            self.ops += 1
        return self.count


def count_ops(evaluate, guard: Guard) -> int:
    """Bytecode instructions executed by `evaluate()`, a function without arguments."""
    counter = OpCounter()
    guard.allowed = COUNTING
    sys._getframe().f_trace_opcodes = True  # or Python 3.12 sees no instruction at all
    sys.settrace(counter.enter)
    guard.allowed = CALLING
    try:
        evaluate()
    finally:
        guard.allowed = COUNTING
        sys.settrace(None)
    return counter.ops


def count_peak(evaluate, guard: Guard) -> int:
    """The most bytes held at once during `evaluate()`, above those held before."""
    import tracemalloc

    guard.allowed = CALLING
    gc.collect()  # empties the free lists, which would hand out memory uncounted
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()  # a pair: 56 bytes that count, too
    tracemalloc.reset_peak()
    evaluate()
    return tracemalloc.get_traced_memory()[1] - before[0]


def set_limits(cpu_seconds: int, memory_bytes: int) -> None:
    """Limits that the operating system keeps, whatever the program does."""
    for name, limit in {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": 32,
        "RLIMIT_NPROC": 0,  # not kept for root: the guard and `refuse_threads` are
    }.items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def refuse_threads(guard: Guard) -> None:
    """No threads: nothing would count them. Python 3.11 has no event for them yet."""

    def start_new_thread(*arguments, **keywords):
        guard.refused = guard.refused or "_thread.start_new_thread"
        raise PermissionError("the sandbox refuses _thread.start_new_thread")

    _thread.start_new_thread = _thread.start_new = start_new_thread


def run(program: str, call: str, preload: list[str], count) -> tuple[str, int, str]:
    """Define the program, evaluate the call -> status, number, message."""
    guard = Guard()
    refuse_threads(guard)
    sys.addaudithook(guard)
    namespace, number = {"__name__": "program"}, 0
    status, message = "ok", ""
    try:
        for name in preload:
            try:
                __import__(name)
            except ImportError:  # the program may never come to it
                continue
        exec(compile(program, "<program>", "exec"), namespace)
        evaluate = FunctionType(compile(call, "<call>", "eval"), namespace)
        number = count(evaluate, guard)
    except MemoryError:
        status = "memory"
    except BaseException as error:
        status, message = "error", f"{type(error).__name__}: {error}"
    if guard.refused:
        status, number, message = "refused", 0, guard.refused
    return status, number, message


def main() -> None:
    """Read the job, close every door, run, answer."""
    kind, cpu_seconds, memory_bytes, *preload = sys.argv[1:]
    program, _, call = sys.stdin.buffer.read().decode().partition("\0")
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    gc.disable()  # or the peak would depend on when it runs
    set_limits(int(cpu_seconds), int(memory_bytes))
    count = {"ops": count_ops, "peak": count_peak}[kind]
    status, number, message = run(program, call, preload, count)
    line = " ".join(message.split())[:500]
    os.write(answers, f"{status}\n{number}\n{line}\n".encode(errors="replace"))
    os._exit(0)


if __name__ == "__main__":
    main()
