"""Processors and memory within the limits of a container, and OpenMP's threads that sleep when they are idle."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from i2i.core.machine import cpu_count, free_memory, processor_times

AFFINITY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_control_groups_the_affinity_counts(tmp_path):
    assert cpu_count(tmp_path) == AFFINITY
    assert free_memory(tmp_path) > 0


@pytest.mark.parametrize(
    ("quota", "expected"), [("50000 100000", 1), ("150000 100000", min(2, AFFINITY)), ("max 100000", AFFINITY)]
)
def test_a_quota_of_version_2_counts(tmp_path, quota, expected):
    root = machine(tmp_path, "0::/a/b\n", {"sys/fs/cgroup/a/cpu.max": quota, "sys/fs/cgroup/a/b/cpu.max": "max 100000"})
    assert cpu_count(root) == expected  # that of the parent group


def test_a_quota_of_version_1_counts(tmp_path):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    assert cpu_count(machine(tmp_path, "4:cpu,cpuacct:/docker/x\n", files)) == 1
    files["sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "-1"
    assert cpu_count(machine(tmp_path, "4:cpu,cpuacct:/docker/x\n", files)) == AFFINITY


def test_a_memory_limit_counts_less_what_is_used(tmp_path):
    files = {
        "sys/fs/cgroup/memory.max": str(3 * 2**20),
        "sys/fs/cgroup/memory.current": str(2 * 2**20),
        "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {2**19}\n",
    }
    assert free_memory(machine(tmp_path, "0::/host/path\n", files)) == 2**20 + 2**19
    files["sys/fs/cgroup/memory.max"] = "max"
    assert free_memory(machine(tmp_path, "0::/\n", files)) > 2**24


def test_files_that_the_system_only_keeps_count_as_free_memory(tmp_path):
    text = "MemTotal:       24684000 kB\nMemFree:          204800 kB\nMemAvailable:   18874368 kB\n"
    assert free_memory(machine(tmp_path, "0::/\n", {"proc/meminfo": text})) == 18 * 2**30


def test_odd_files_count_as_no_limit(tmp_path):
    files = {"sys/fs/cgroup/cpu.max": "many few", "sys/fs/cgroup/memory.max": "x", "sys/fs/cgroup/memory.current": "y"}
    root = machine(tmp_path, "nonsense\n0::/\n", files)
    assert cpu_count(root) == AFFINITY
    assert free_memory(root) > 0


def environment(code: str, **given: str) -> dict[str, str | None]:
    keys = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
    env = {k: v for k, v in os.environ.items() if k not in keys} | given
    out = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json, os; {code}; print(json.dumps({{k: os.environ.get(k) for k in {keys!r}}}))",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    )
    return json.loads(out.stdout)


def test_idle_threads_sleep_unless_the_user_says_otherwise():
    assert environment("import i2i") == {
        "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "1", "GOMP_SPINCOUNT": "10000"
    }  # fmt: skip
    assert environment("import i2i", OMP_WAIT_POLICY="ACTIVE")["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_program_that_has_torch_already_is_left_alone():
    assert environment("import torch, i2i")["OMP_WAIT_POLICY"] is None


def test_times_of_all_threads_are_added_and_nothing_is_known_without_them(tmp_path):
    assert processor_times(tmp_path) == (0, 0)
    for number, text in (("1", "2000000000 500000000 7\n"), ("2", "1000000000 250000000 3\n"), ("3", "")):
        (tmp_path / "proc/self/task" / number).mkdir(parents=True)
        (tmp_path / "proc/self/task" / number / "schedstat").write_text(text)
    assert processor_times(tmp_path) == (3, 0.75)
