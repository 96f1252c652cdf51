"""Watch a child process at the kernel's door: every system call that changes files is seen, can be made to fail,
be cut short, or be the last thing the process does, whichever library or language it comes from.

Linux on x86-64 only: `WHY_NOT` says why it cannot be used elsewhere.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WHY_NOT = (
    None
    if (platform.system(), platform.machine()) == ("Linux", "x86_64")
    else "system calls are watched on Linux on x86-64 only"
)

TRACE_ME, CONTINUE_TO_CALL, SET_OPTIONS, GET_CALL = 0, 24, 0x4200, 0x420E
GET_REGISTERS, SET_REGISTERS = 12, 13
MARK_CALLS, FOLLOW_THREADS, FOLLOW_FORKS, DIE_WITH_TRACER = 1, 8, 2 | 4, 0x100000
WAIT_FOR_ALL = 0x40000000
AT_FOLDER_OF_PROCESS = -100 & 0xFFFFFFFF
RESULT_REGISTER, COUNT_REGISTER, NUMBER_REGISTER, NUM_REGISTERS = 10, 12, 15, 27

# name of the call -> where its arguments are: d a folder's descriptor, p a path, f a file's descriptor, . anything
CALLS = {
    0: ("read", "f"), 17: ("read", "f"), 19: ("read", "f"),
    1: ("write", "f"), 18: ("write", "f"), 20: ("write", "f"), 285: ("write", "f"), 326: ("write", "..f"),
    40: ("write", "f"), 9: ("map", "....f"),
    74: ("fsync", "f"), 75: ("fsync", "f"), 77: ("truncate", "f"), 76: ("truncate", "p"),
    2: ("open", "p"), 257: ("open", "dp"), 85: ("open", "p"),
    82: ("rename", "pp"), 264: ("rename", "dpdp"), 316: ("rename", "dpdp"),
    83: ("mkdir", "p"), 258: ("mkdir", "dp"), 84: ("rmdir", "p"), 87: ("unlink", "p"), 263: ("unlink", "dp"),
    86: ("link", "pp"), 265: ("link", "dpdp"), 88: ("link", ".p"), 266: ("link", ".dp"),
}  # fmt: skip
CHANGES = frozenset({"write", "fsync", "truncate", "open", "rename", "mkdir", "rmdir", "unlink", "link"})
REMOVE_FOLDER_FLAG, MAP_SHARED, MAP_WRITE = 0x200, 1, 2
OPEN_WRITING, OPEN_CREATE, OPEN_TRUNCATE = os.O_WRONLY | os.O_RDWR, os.O_CREAT, os.O_TRUNC


@dataclass(frozen=True)
class Call:
    """A system call on files below the watched folder. `paths` are absolute; `opens_for_reading` marks an open that
    changes nothing."""

    name: str
    paths: tuple[str, ...]
    opens_for_reading: bool = False

    @property
    def changes(self) -> bool:
        return self.name in CHANGES and not self.opens_for_reading

    def __str__(self) -> str:
        return f"{self.name} {' '.join(Path(path).name for path in self.paths)}"


@dataclass(frozen=True)
class Verdict:
    """What shall become of a call: killed before it, after half of it, or failed with `error`; nothing by default."""

    kill: bool = False
    half: bool = False
    error: int = 0


GO_ON = Verdict()
Before = Callable[[Call], Verdict]
After = Callable[[Call, int], None]


def watch_me() -> None:
    """To be called in the child: stop here until `watch` takes over."""
    _ptrace(TRACE_ME, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


def watch(child: int, folder: Path, before: Before, after: After | None = None) -> int:
    """Let `child` (which calls `watch_me`) run to its end; its exit code, negative for a signal.

    `before` is asked at each call on a path below `folder`; `after` is told what the call gave (-errno on failure).
    """
    os.waitpid(child, 0)
    _ptrace(SET_OPTIONS, child, MARK_CALLS | FOLLOW_THREADS | FOLLOW_FORKS | DIE_WITH_TRACER)
    _ptrace(CONTINUE_TO_CALL, child)
    entered: dict[int, tuple[Call, Verdict] | None] = {}
    while True:
        thread, status = os.waitpid(-1, WAIT_FOR_ALL)
        if not os.WIFSTOPPED(status):
            if thread == child:
                return os.waitstatus_to_exitcode(status)
            continue
        passed_on = 0
        try:
            if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                _at_call(child, thread, folder, before, after, entered)
            elif os.WSTOPSIG(status) not in (signal.SIGTRAP, signal.SIGSTOP):
                passed_on = os.WSTOPSIG(status)
            _ptrace(CONTINUE_TO_CALL, thread, passed_on)
        except ProcessLookupError:
            entered.pop(thread, None)  # killed while it stood still


def _at_call(
    child: int,
    thread: int,
    folder: Path,
    before: Before,
    after: After | None,
    entered: dict[int, tuple[Call, Verdict] | None],
) -> None:
    buffer = ctypes.create_string_buffer(88)
    _ptrace(GET_CALL, thread, ctypes.addressof(buffer), size=88)
    kind, first, *arguments = struct.unpack_from("<B23xQ6Q", buffer)
    if kind == 1:
        call = _call(thread, first, arguments, str(folder))
        verdict = GO_ON if call is None else before(call)
        entered[thread] = None if call is None else (call, verdict)
        if verdict.half:
            _set_register(thread, COUNT_REGISTER, max(arguments[2] // 2, 1))
        elif verdict.error:
            _set_register(thread, NUMBER_REGISTER, 2**64 - 1)
        elif verdict.kill:
            os.kill(child, signal.SIGKILL)
    elif kind == 2 and (found := entered.pop(thread, None)) is not None:
        call, verdict = found
        if verdict.error:
            _set_register(thread, RESULT_REGISTER, 2**64 - verdict.error)
        if verdict.half and verdict.kill:
            os.kill(child, signal.SIGKILL)
        elif after is not None:
            after(call, -verdict.error if verdict.error else ctypes.c_int64(first).value)


def _call(thread: int, number: int, arguments: list[int], folder: str) -> Call | None:
    """The call if it concerns `folder`."""
    if number not in CALLS:
        return None
    name, shape = CALLS[number]
    paths: list[str] = []
    base = f"/proc/{thread}/cwd"
    for kind, argument in zip(shape, arguments, strict=False):
        if kind == "d":
            base = (
                f"/proc/{thread}/cwd"
                if argument & 0xFFFFFFFF == AT_FOLDER_OF_PROCESS
                else _descriptor(thread, argument)
            )
        elif kind == "p":
            paths.append(os.path.normpath(os.path.join(_target(base), _text(thread, argument))))
        elif kind == "f":
            paths.append(_target(_descriptor(thread, argument)))
    if not any(path == folder or path.startswith(folder + "/") for path in paths):
        return None
    if name == "open":
        flags = OPEN_WRITING if number == 85 else arguments[shape.index("p") + 1]
        new = bool(flags & OPEN_CREATE) and not os.path.exists(paths[0])
        return Call(name, tuple(paths), not (new or flags & OPEN_TRUNCATE))
    if name == "map":
        if arguments[2] & MAP_WRITE and arguments[3] & MAP_SHARED:
            raise AssertionError(f"{paths[0]} is written through memory, where nothing can watch it")
        return None
    if number == 263 and arguments[2] & REMOVE_FOLDER_FLAG:
        name = "rmdir"
    return Call(name, tuple(paths))


def _descriptor(thread: int, number: int) -> str:
    return f"/proc/{thread}/fd/{ctypes.c_int32(number & 0xFFFFFFFF).value}"


def _target(link: str) -> str:
    try:
        return os.readlink(link).removesuffix(" (deleted)")
    except OSError:
        return ""


def _text(thread: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        found = b""
        while b"\0" not in found and len(found) < 4096:
            found += memory.read(256 - (address + len(found)) % 256)  # never past the page's end
    return found.split(b"\0")[0].decode()


def _set_register(thread: int, index: int, value: int) -> None:
    registers = (ctypes.c_uint64 * NUM_REGISTERS)()
    _ptrace(GET_REGISTERS, thread, ctypes.addressof(registers))
    registers[index] = value
    _ptrace(SET_REGISTERS, thread, ctypes.addressof(registers))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, thread: int, data: int = 0, size: int = 0) -> None:
    if _libc.ptrace(request, thread, size, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request}: {errno.errorcode.get(number, number)}")
