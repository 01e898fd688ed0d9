"""Limits are those that the kernel enforces; /proc, /sys and the driver of CUDA are made up."""

import os
import resource
import shutil
import subprocess

import pytest

from respike.workflow import dag, limits

GIB = 1024**3
V2 = "29 23 0:26 {top} /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = [
    "31 23 0:28 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "32 23 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct",
    "33 23 0:30 /elsewhere /mnt/cpu\\040set rw - cgroup cgroup rw,cpuset",
]
V1_OWN = "4:memory:{0}\n3:cpu,cpuacct:{0}\n1:name=systemd:{0}\n"
NO_LIMIT = 9223372036854771712  # how cgroup v1 says so


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes a machine of 64 GiB and 16 cores with control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)

    def make(own, mounts, files, top="/"):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/meminfo").write_text(
            f"MemTotal:       {64 * 1024**2} kB\nMemFree: 1 kB\n"
        )
        (tmp_path / "proc/self/cgroup").write_text(own)
        lines = ["27 1 254:0 / / rw - ext4 /dev/vda rw", *(line.format(top=top) for line in mounts)]
        (tmp_path / "proc/self/mountinfo").write_text("\n".join(lines) + "\n")
        for name, content in files.items():
            file = tmp_path / "sys/fs/cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{content}\n")
        return tmp_path

    return make


def found(root, **environ):
    """Return the cores and the memory in GiB."""
    return limits.cores(root, environ), round(limits.memory_mb(root, environ) * 1e6 / 0.9 / GIB, 2)


def test_a_machine_without_groups(machine):
    assert found(machine("", [], {})) == (16, 64)


def test_a_machine_that_tells_nothing_of_groups(machine):
    root = machine("0::/a\n", [V2], {"a/memory.max": GIB})
    (root / "proc/self/mountinfo").unlink()
    assert found(root) == (16, 64)


@pytest.mark.parametrize(
    "files, expected",
    [
        ({"a/b/memory.max": 8 * GIB, "a/b/cpu.max": "400000 100000"}, (4, 8)),
        ({"a/memory.max": 8 * GIB, "a/b/memory.max": "max", "a/cpu.max": "200000 100000"}, (2, 8)),
        ({"a/memory.max": 8 * GIB, "a/b/memory.max": 9 * GIB}, (16, 8)),  # the outer is smaller
        ({"a/memory.max": 8 * GIB, "a/b/memory.max": 7 * GIB}, (16, 7)),
        ({"a/b/memory.high": 6 * GIB, "a/b/memory.max": 8 * GIB}, (16, 6)),
        ({"memory.max": 5 * GIB, "cpu.max": "300000 100000"}, (3, 5)),  # as a container sees it
        ({"a/b/cpu.max": "50000 100000"}, (1, 64)),  # half a core
        ({"a/b/cpu.max": "max 100000", "a/c/memory.max": 1, "a/b/c/memory.max": 1}, (16, 64)),
    ],
)
def test_groups_of_version_2(machine, files, expected):
    assert found(machine("0::/a/b\n", [V2], files)) == expected


@pytest.mark.parametrize(
    "files, expected",
    [
        ({"memory/a/b/memory.limit_in_bytes": 8 * GIB}, (16, 8)),
        ({"memory/a/memory.limit_in_bytes": 8 * GIB,
          "memory/a/b/memory.limit_in_bytes": NO_LIMIT}, (16, 8)),
        ({"cpu,cpuacct/a/cpu.cfs_quota_us": 250_000,
          "cpu,cpuacct/a/cpu.cfs_period_us": 100_000,
          "cpu,cpuacct/a/b/cpu.cfs_quota_us": -1,
          "cpu,cpuacct/a/b/cpu.cfs_period_us": 100_000}, (2, 64)),
    ],
)  # fmt: skip
def test_groups_of_version_1(machine, files, expected):
    assert found(machine(V1_OWN.format("/a/b"), V1, files)) == expected


def test_both_versions_beside_each_other(machine):
    unified = V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
    files = {"memory/a/memory.limit_in_bytes": 8 * GIB, "unified/u/cpu.max": "100000 100000"}
    assert found(machine(V1_OWN.format("/a") + "0::/u\n", [*V1, unified], files)) == (1, 8)


@pytest.mark.parametrize("own", ["/docker/1", "/docker/1/inner", "/", "/../../other", "/other"])
def test_a_container_sees_its_part_of_the_tree(machine, own):
    files = {"memory.max": 4 * GIB, "inner/memory.max": 3 * GIB}
    expected = 3 if own.endswith("inner") else 4
    assert found(machine(f"0::{own}\n", [V2], files, top="/docker/1")) == (16, expected)


def test_what_slurm_has_given_counts_inside_a_job_only(machine):
    root = machine("", [], {})
    given = {"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_NODE": "8192"}
    assert found(root, **given) == (16, 64)
    assert found(root, SLURM_JOB_ID="7", **given) == (4, 8)
    per_cpu = {"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_CPU": "1024"}
    assert found(root, SLURM_JOB_ID="7", **per_cpu) == (4, 4)
    assert found(root, SLURM_JOB_ID="7", SLURM_MEM_PER_NODE="0") == (16, 64)  # all of it
    assert found(root, SLURM_JOB_ID="7", SLURM_CPUS_ON_NODE="many") == (16, 64)


def test_affinity_and_address_space(machine, monkeypatch):
    root = machine("", [], {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: {resource.RLIMIT_AS: (2 * GIB, -1)}[kind]
    )
    assert found(root) == (2, 2)


def test_this_machine():
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1 <= limits.cores() <= os.cpu_count()
    assert 0 < limits.memory_mb() <= physical / 1e6


# A driver with two GPUs that respects CUDA_VISIBLE_DEVICES, may be broken, and may not answer.
DRIVER = """
#include <stdlib.h>
#include <unistd.h>
int cuInit(unsigned flags) {
    if (flags) return 1;
    if (getenv("HANGS")) sleep(30);
    if (getenv("CRASHES")) abort();
    return getenv("BROKEN") ? 999 : 0;
}
int cuDeviceGetCount(int *count) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    *count = visible && !*visible ? 0 : 2;
    return 0;
}
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a made-up driver of CUDA in the way, and ask it anew at each question."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: the driver cannot be made up")
    (tmp_path / "driver.c").write_text(DRIVER)
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(limits, "PATIENCE_S", 1)
    limits.cuda_devices.cache_clear()
    yield library
    limits.cuda_devices.cache_clear()


@pytest.mark.parametrize(
    "name, value, found",
    [
        ("CUDA_VISIBLE_DEVICES", "0", 2),
        ("CUDA_VISIBLE_DEVICES", "", 0),
        ("BROKEN", "1", 0),
        ("CRASHES", "1", 0),
        ("HANGS", "1", 0),
    ],
)
def test_cuda_says_how_many_gpus_there_are(driver, monkeypatch, name, value, found):
    monkeypatch.setenv(name, value)
    assert limits.cuda_devices() == found
    assert dag.gpus({"device": "auto"}) == int(found > 0)
    assert (dag.gpus({"device": "cuda"}), dag.gpus({"device": "cpu"})) == (1, 0)


def test_without_a_driver_there_is_no_gpu(driver):
    driver.write_text("not a library")
    assert limits.cuda_devices() == 0
