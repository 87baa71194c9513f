"""How much of this machine the process may use: processors and memory, within a container's limits."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

UNKNOWN_MEMORY = 2.0**32  # bytes that count as free where the system does not tell
# How long an idle thread of OpenMP waits before it sleeps: turns of a loop in GNU's (its default is 300,000), and
# milliseconds in Intel's and LLVM's (200). Without any wait, a small network lost 40 % of its speed on two idle cores,
# because threads were woken for every layer; with 10,000 turns 2 % (benchmarks/busy.py). BLOCK_MS was not measured.
SPINS, BLOCK_MS = "10000", "1"


def cpu_count(root: Path = Path("/")) -> int:
    """Processors that this process may use: its affinity mask, and the CPU quota of its container, rounded up.

    root: where /proc and /sys lie; tests give another folder."""
    affinity = _affinity()
    quotas = []
    for folder in _cgroup_folders(root, "cpu"):
        words = _words(folder / "cpu.max")  # version 2: quota or "max", and period, in microseconds
        if not words:  # version 1; a quota of -1 is none
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0] not in ("max", "-1"):
            with contextlib.suppress(ValueError, ZeroDivisionError):
                quotas.append(int(words[0]) / int(words[1]))
    return max(1, min(affinity, *(math.ceil(q) for q in quotas))) if quotas else affinity


def _affinity() -> int:
    """Processors that the system lets this process run on, whatever the quota of its container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(root: Path = Path("/")) -> float:
    """Bytes of main memory that this process may still take: free on the machine, and left to its container.

    Memory in which Linux only keeps files that were read counts as free. root: see `cpu_count`."""
    free = _available_memory(root)
    if (space := address_space()) < math.inf:
        free = min(free, max(0.0, space - _address_space_used(root)))
    for folder in _cgroup_folders(root, "memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),  # version 2
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),  # version 1
        ):
            limit, used = _words(folder / limit_name), _words(folder / used_name)
            with contextlib.suppress(ValueError):
                if limit and used and limit[0] != "max":
                    free = min(free, max(0.0, float(limit[0]) - float(used[0]) + _file_cache(folder)))
    return free


def _available_memory(root: Path) -> float:
    """Bytes that are free on the machine, or that its system gives up for a program."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            with contextlib.suppress(ValueError, IndexError):
                return 1024.0 * int(line.split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return UNKNOWN_MEMORY


def total_memory(root: Path = Path("/")) -> float:
    """Bytes of main memory that this process could have if nothing else ran: the least of the machine's, of its
    container's limit and of the limit on its address space; infinity where the system does not tell."""
    limits = [address_space()]
    with contextlib.suppress(ValueError, OSError, AttributeError):
        limits.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
            with contextlib.suppress(ValueError, IndexError):
                limits.append(float(_words(folder / name)[0]))
    return min(limits)


def address_space() -> float:
    """Bytes of address space that this process may have (`ulimit -v`); infinity without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if limit == resource.RLIM_INFINITY else float(limit)


def process_age() -> float:
    """Seconds since this process began; 0 where the system does not tell."""
    try:
        started = float(
            Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        return max(0.0, uptime - started / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def processor_times(root: Path = Path("/")) -> tuple[float, float]:
    """(seconds in which threads of this process ran, seconds in which they could run and waited for a processor).

    (0, 0) where the system does not report it: only Linux does. root: where /proc lies; tests give another folder."""
    ran = waited = 0.0
    for path in root.glob("proc/self/task/*/schedstat"):
        with contextlib.suppress(ValueError, IndexError):  # a thread that has ended meanwhile
            words = _words(path)
            ran, waited = ran + int(words[0]) / 1e9, waited + int(words[1]) / 1e9
    return ran, waited


def share_processors() -> None:
    """Lets idle threads of OpenMP sleep soon, and makes no more threads than a container's quota allows.

    Threads that spin take the processors from those that work as soon as other programs are busy too. It must be called
    before torch is loaded, and keeps what the user has set."""
    if "torch" in sys.modules:
        return
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # GNU and LLVM OpenMP
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("KMP_BLOCKTIME", BLOCK_MS)  # Intel's and LLVM's
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what a Mac's GPU lacks runs on its CPU; torch says so
    if "OMP_NUM_THREADS" not in os.environ:
        allowed = cpu_count()
        if allowed < _affinity():  # OpenMP sees the affinity by itself, but not the quota
            os.environ["OMP_NUM_THREADS"] = str(allowed)


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of its parents, for version 2 and version 1 of cgroups."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = next((p for c in (controllers, controller) if (p := root / "sys/fs/cgroup" / c).is_dir()), root)
        else:
            continue
        folder = top / path.lstrip("/")
        if not folder.is_dir():  # inside a container the path is often that of the host
            folder = top
        while True:
            yield folder
            if folder == top or folder == folder.parent:
                break
            folder = folder.parent


def _address_space_used(root: Path) -> float:
    """Size of this process's address space in bytes; 0 if the system does not report it."""
    try:
        return float(_words(root / "proc/self/statm")[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, IndexError, OSError, AttributeError):
        return 0.0


def _file_cache(folder: Path) -> float:
    """Bytes of cached files of a control group, which the system gives back when memory is needed."""
    for line in _text(folder / "memory.stat").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] in ("inactive_file", "total_inactive_file") and words[1].isdecimal():
            return float(words[1])
    return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _words(path: Path) -> list[str]:
    return _text(path).split()
