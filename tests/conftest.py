"""Data that tests of several folders and workers share, and what keeps workers apart."""

import contextlib
import fcntl
import filecmp
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import chromium
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
# With pytest-xdist (make test) several workers run tests at once, each in a process of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")


@contextlib.contextmanager
def held(file: Path, how: int = fcntl.LOCK_EX):
    """Hold a lock on a file, which is made; another worker waits for it."""
    with file.open("a") as opened:
        fcntl.flock(opened, how)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Let a test marked `alone` wait until no other one runs, and others wait for it."""
    if WORKER is None:
        return (yield)
    shared = Path(item.config.option.basetemp).parent
    alone = item.get_closest_marker("alone") is not None
    with contextlib.ExitStack() as stack:
        # Who waits to be alone keeps the others from starting; else its turn might never come.
        with held(shared / "next.lock"):
            how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            stack.enter_context(held(shared / "running.lock", how))
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def one_thread_per_worker():
    """Let the libraries of a worker compute on one core: the other workers have theirs."""
    if WORKER is not None:
        import numba
        import torch

        numba.set_num_threads(1)
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """Return the folder that the tests of all workers share in this run."""
    own = tmp_path_factory.getbasetemp()
    return own if WORKER is None else own.parent


@pytest.fixture(scope="session")
def mnist_folder(shared_folder):
    """Return the folder of the real MNIST; it is fetched if the checkout has none yet."""
    folder = ROOT / "data" / "mnist"
    with held(shared_folder / "mnist.lock"):
        if not (folder / "manifest.json").exists():
            subprocess.run(
                [sys.executable, "-m", "respike.data.fetch", "mnist", "--out", folder], check=True
            )
    return folder


@pytest.fixture(scope="session")
def small_mnist_folder(tmp_path_factory):
    """Return a folder in the format of MNIST: 80 training and 40 test images made of two bars."""
    folder = tmp_path_factory.mktemp("small_mnist")
    rng = np.random.default_rng(0)
    manifest = {"dataset": "mnist", "kind": "synthetic", "files": {}}
    for half, count in (("train", 80), ("t10k", 40)):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 3 : 2 * label + 6, 5:23] = rng.integers(150, 256, (3, 18))
            image[5:23, 24 - label : 26 - label] = 255
        for name, array in ((f"{half}-images-idx3", images), (f"{half}-labels-idx1", labels)):
            head = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            content = head + array.tobytes()
            (folder / f"{name}-ubyte").write_bytes(content)
            manifest["files"][f"{name}-ubyte"] = {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
            }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def real_recordings():
    """Return the archive of real N-MNIST recordings; the project holds none, so it may be absent.

    Whatever is tested with it is tested with constructed recordings too.
    """
    places = [ROOT.parent / "shared" / "data" / "nmnist-real-sample.zip"]
    if given := os.environ.get("RESPIKE_NMNIST_SAMPLE"):
        places.insert(0, Path(given))
    for place in places:
        if place.is_file():
            return place
    pytest.skip("no real N-MNIST recordings: RESPIKE_NMNIST_SAMPLE names no archive of them")


@pytest.fixture(scope="session")
def nmnist_archive(request, mnist_folder, tmp_path_factory):
    """Return an archive in the layout of N-MNIST: the real sample, or emulated recordings.

    For tests of the pipeline, which needs recordings that the emulator was not fitted to.
    """
    try:
        return request.getfixturevalue("real_recordings")
    except pytest.skip.Exception:
        pass
    from respike.commands import emulate
    from respike.data import mnist
    from respike.data.emulator import parameters

    data, n = mnist.load(mnist_folder), len(parameters.fitted_images()) + 200
    folder = tmp_path_factory.mktemp("nmnist")
    emulate.write_recordings(data.train_images, data.train_labels, np.arange(n), folder, seed=99)
    return Path(shutil.make_archive(str(folder / "nmnist"), "zip", folder, "NMNIST/Train"))


@pytest.fixture(scope="session")
def real_table(real_recordings, tmp_path_factory):
    """Return the real N-MNIST recordings as a loaded event table."""
    from respike.data.nmnist import event_table, official

    folder = tmp_path_factory.mktemp("real_nmnist")
    official.from_local(folder, real_recordings, say=lambda line: None)
    return event_table.load(folder)


@pytest.fixture(scope="session")
def made_recordings():
    """Return packed recordings made at random: many ties, repeats, small and large sensors."""
    from respike.data.nmnist.binary_format import pack

    rng, made = np.random.default_rng(3), []
    for n in (1, 2, 5, 40, 300, 1000, 3000) * 4:
        x_max, y_max = rng.integers(1, 35, 2)
        last_us = rng.choice([n // 2 + 1, 9_000, 40_000, 320_000])
        t = np.sort(rng.integers(0, last_us, n)) + rng.choice([0, 0, 7_000])
        x, y = rng.integers(0, x_max, n), rng.integers(0, y_max, n)
        made.append(pack(x, y, t, rng.integers(0, 2, n)))
    return made


@pytest.fixture
def toy_source(tmp_path, monkeypatch):
    """Return the folder of a source `toy`, the only one, with an empty ledger."""
    import respike.sources
    from respike.runs import sources

    folder = tmp_path / "sources" / "toy"
    folder.mkdir(parents=True)
    (folder / sources.LEDGER).touch()
    monkeypatch.setattr(sources, "FOLDER", folder.parent)
    monkeypatch.setattr(respike.sources, "__path__", [str(folder.parent)])
    yield folder
    for name in [name for name in sys.modules if name.startswith("respike.sources.toy")]:
        del sys.modules[name]


@pytest.fixture
def threads():
    """Return a function that sets the threads of numba and torch; both are put back at the end."""
    import numba
    import torch

    before = numba.get_num_threads(), torch.get_num_threads()

    def set_threads(n):
        if n > numba.config.NUMBA_NUM_THREADS:
            pytest.skip(f"needs {n} cores, numba has {numba.config.NUMBA_NUM_THREADS}")
        numba.set_num_threads(n)
        torch.set_num_threads(n)

    yield set_threads
    numba.set_num_threads(before[0])
    torch.set_num_threads(before[1])


@pytest.fixture
def no_gpu_code(monkeypatch):
    """Let this process have loaded nothing that is for a GPU, as a job on the CPU asserts.

    Tests that ran before may have loaded it.
    """
    from respike.runs import closure

    for name in [name for name in sys.modules if name.split(".")[0] == closure.PACKAGE]:
        if closure.is_for_gpu(name):
            monkeypatch.delitem(sys.modules, name)


def bring_machine_code(source: Path, target: Path) -> None:
    """Copy what numba compiled for one tree to another, which need not compile it again.

    Numba names the folder of a package's machine code by the package's path. The folder above has
    a digest of the modules (respike.spiking.numba_cache): other machine code is never found.
    """
    from numba.core.caching import UserProvidedCacheLocator

    def name(package):
        return UserProvidedCacheLocator.get_suitable_cache_subpath(str(package / "module.py"))

    packages = {init.parent.relative_to(source) for init in source.glob("src/**/__init__.py")}
    for digest in source.glob(".cache/numba/*"):
        for package in packages:
            compiled = digest / name(source / package)
            if compiled.is_dir():
                place = target / ".cache" / "numba" / digest.name / name(target / package)
                shutil.copytree(compiled, place, dirs_exist_ok=True)


class Tree:
    """A copy of the project in a folder of its own, and the commands that run in it."""

    def __init__(self, root: Path):
        self.root = root
        # The environment holds the checkout as an editable package: the copy's must be found first.
        # Git's variables would lead to the checkout's history when a git hook starts the tests.
        self.env = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")} | {
            "PYTHONPATH": str(root / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    @classmethod
    def of_checkout(cls, root: Path, without: str = "") -> "Tree":
        """Return a copy of the checkout's files as they are, but those below `without`."""
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        for name in filter(None, names):
            here, there = ROOT / name, root / name
            if not here.is_file() or (without and name.startswith(f"{without}/")):
                continue
            if not (there.exists() and filecmp.cmp(here, there)):
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(here, there)
        bring_machine_code(ROOT, root)
        return cls(root)

    def __truediv__(self, path) -> Path:
        return self.root / path

    @property
    def ledgers(self) -> list[Path]:
        """Return the claims ledgers of all sources."""
        return sorted(self.root.glob("src/respike/sources/*/claims.yaml"))

    def run(self, *command, status=0, timeout=900) -> subprocess.CompletedProcess:
        """Run a command in the copy; its exit status must be `status`. timeout in seconds."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.root, env=self.env, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == status, (
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def snakemake(self, *arguments, scale="smoke", **options) -> subprocess.CompletedProcess:
        """Run Snakemake on two cores; options as of `run`."""
        command = ("snakemake", "--cores", 2, *arguments, "--config", f"scale={scale}")
        return self.run(*command, **options)

    def git(self, *arguments) -> str:
        """Run git under a name of its own."""
        name = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        hooks = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false")
        return self.run("git", *name, *hooks, *arguments).stdout.strip()

    def planned(self, scale="smoke") -> set[str]:
        """Return the files that Snakemake would make now; logs and benchmarks are not counted."""
        header, *lines = self.snakemake("--summary", scale=scale).stdout.splitlines()
        assert header.split("\t")[0] == "output_file", header
        rows = [line.split("\t") for line in lines]
        return {row[0] for row in rows if row[-1] == "update pending"}

    def copy(self, root: Path) -> "Tree":
        """Return a copy, times included; the data are shared."""
        shutil.copytree(
            self.root, root, ignore=lambda folder, _: {"data"} if folder == str(self.root) else {}
        )
        shutil.copytree(self / "data", root / "data", copy_function=os.link)
        bring_machine_code(self.root, root)
        return Tree(root)

    @contextlib.contextmanager
    def unchanged(self, *paths):
        """Put files back at the end, with their times; a file that was not there is removed."""
        before = {}
        for path in map(self.root.joinpath, paths):
            before[path] = (path.read_bytes(), path.stat()) if path.exists() else None
        try:
            yield
        finally:
            for path, kept in before.items():
                if kept is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_bytes(kept[0])
                    os.utime(path, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))


@pytest.fixture(scope="session")
def smoke_tree(shared_folder, tmp_path_factory, mnist_folder, nmnist_archive):
    """Return a copy of the project with a finished smoke run; tests leave it as they found it.

    Some minutes on two cores, once: each worker has a copy of the tree that the first one made. It
    computes on the CPU everywhere, so that its numbers can be compared with runs of a test. While
    you write a test, RESPIKE_SMOKE_TREE=FOLDER keeps the tree for the next call, which then runs
    only what was edited since.
    """
    folder = Path(os.environ.get("RESPIKE_SMOKE_TREE", shared_folder / "smoke"))
    finished = shared_folder / "smoke.finished"
    with held(shared_folder / "smoke.lock"):
        if not finished.exists():
            finish(folder, mnist_folder, nmnist_archive)
            finished.touch()
        tree = Tree(folder)
        return tree if WORKER is None else tree.copy(tmp_path_factory.mktemp("own") / "respike")


def finish(folder: Path, mnist_folder: Path, nmnist_archive: Path) -> None:
    """Bring the checkout to a folder and run the whole workflow there at scale smoke."""
    tree = Tree.of_checkout(folder)
    config = (tree / "config.yaml").read_text()
    places = {"mnist_folder": mnist_folder, "device": "cpu", "nmnist_real": nmnist_archive}
    for key, value in places.items():
        config, found = re.subn(rf"^( *{key}:) \S+", rf"\1 {value}", config, flags=re.M)
        assert found == 1, key
    (tree / "config.yaml").write_text(config)
    tree.git("init", "--quiet", "--initial-branch=main")
    tree.git("add", "--all")
    tree.git("commit", "--quiet", "--allow-empty", "--message", "copy")
    tree.snakemake(timeout=3600)  # other work may hold the machine up
    bring_machine_code(tree.root, ROOT)


@pytest.fixture(scope="module")
def shared_copy(smoke_tree, tmp_path_factory):
    """Return a copy of the finished smoke tree for the tests of a module that leave it finished."""
    return smoke_tree.copy(tmp_path_factory.mktemp("shared") / "respike")


@pytest.fixture
def copied_tree(smoke_tree, tmp_path):
    """Return a copy of the finished smoke tree that a test may change; the data are shared."""
    return smoke_tree.copy(tmp_path / "respike")


NO_BROWSER = (
    "no Chromium found: the page is not tested. `make test` installs it where it may (Debian and "
    "Ubuntu, as root); else install a Chromium or Chrome, or name it: CHROMIUM=/path/to/chromium"
)


@pytest.fixture
def browser(tmp_path):
    """Return a page of headless Chromium; the test is skipped, and says so, where there is none."""
    if chromium.find() is None:
        pytest.skip(NO_BROWSER)
    with chromium.Page(str(tmp_path / "profile")) as page:
        yield page
