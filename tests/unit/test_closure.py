import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from respike.runs import closure as closures
from respike.runs.closure import closure
from respike.runs.scan import ProvenanceError

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "digest_sample.txt"


def tree(folder, **modules):
    """Write modules of a package `respike` and return the folder above it."""
    for name, text in {"__init__": "", **modules}.items():
        file = folder / "respike" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return folder


BASE = {
    "neuron": """
        import numpy as np

        WHY = "low"
        THRESH, REST = 1.0, 0.0

        def decay(mem, beta):
            if beta < 0:
                raise ValueError(f"beta: {beta} is too {WHY}")
            return beta * mem

        def step(mem, beta):
            return np.where(mem > THRESH, 0, decay(mem, beta))

        def unused(mem):
            return mem - REST
        """,
    "train": """
        from dataclasses import dataclass

        from respike import neuron

        @dataclass(frozen=True)
        class Settings:
            beta: float

        def helper(x):
            return x + 1

        def run(settings):
            return neuron.step(helper(settings.beta), 0.5)
        """,
}


@pytest.fixture
def digest(tmp_path):
    """Return the digest of respike.train.run in a tree of its own, with some modules changed."""
    count = iter(range(100))

    def of(*roots, **changes):
        src = tree(tmp_path / str(next(count)), **{**BASE, **changes})
        return closure(roots or ("respike.train.run",), src).digest

    return of


def edited(name, old, new):
    assert old in BASE[name]
    return {name: BASE[name].replace(old, new)}


# ----------------------------------------------------------------------------- what counts


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("neuron", "beta * mem", "mem * beta"),
        ("neuron", "THRESH, REST = 1.0, 0.0", "THRESH, REST = 1.5, 0.0"),
        ("neuron", "mem > THRESH", "mem > REST"),  # the other name of one assignment
        ("neuron", "np.where", "np.choose"),
        ("neuron", "raise ValueError", "raise KeyError"),
        ("neuron", "beta < 0", "beta < -1"),
        ("neuron", 'WHY = "low"', "WHY = 3"),
        ("train", "x + 1", "x + 2"),
        ("train", "neuron.step(", "neuron.unused("),
        ("train", "0.5", "beta=0.5"),
        ("neuron", "import numpy as np", "import numpy as np\nnp.seterr(all='raise')"),
        ("neuron", "import numpy as np", "import numpy as np\nif np.pi > 3:\n    Z = 1"),
    ],
)
def test_what_the_root_reaches_counts(digest, name, old, new):
    new = textwrap.indent(new, " " * 8).lstrip()
    assert digest(**edited(name, old, new)) != digest()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("neuron", "mem - REST", "mem - REST - 1"),
        ("neuron", "beta: {beta} is too", "beta is {beta}, too"),
        ("neuron", "def unused(mem):", "def other(mem):"),
        ("neuron", "def decay(mem, beta):", "def decay(mem: float, beta: float) -> float:"),
        ("neuron", "beta * mem", "beta*mem  # remark"),
        ("train", "beta: float", "beta: 'float | None'  # of the membrane"),
        ("train", "class Settings:", 'class Settings:\n            "Docstring."'),
        ("train", "def run(", "def other():\n            return 1\n\n        def run("),
        ("train", "import neuron", "import neuron, unrelated"),
    ],
)
def test_what_it_does_not_reach_or_read_does_not_count(digest, name, old, new):
    other = {"unrelated": "Y = 1\n"}
    assert digest(**other, **edited(name, old, new)) == digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"train": BASE["train"].replace("from respike import neuron", "import respike.neuron as n")
            .replace("neuron.step(", "n.step(")},
        {"train": BASE["train"].replace("from respike import neuron", "import respike.neuron")
            .replace("neuron.step(", "respike.neuron.step(")},
        {"train": BASE["train"].replace("from respike import neuron", "from respike.neuron import "
            "step as advance").replace("neuron.step(", "advance(")},
        {"train": BASE["train"].replace("from respike import neuron", "from . import neuron")},
        {"train": BASE["train"].replace("from respike import neuron", "from .neuron import step")
            .replace("neuron.step(", "step(")},
        {"train": BASE["train"].replace("        from respike import neuron\n", "")
            .replace("return neuron", "from respike import neuron\n            return neuron")},
        {"neuron": BASE["neuron"].replace("import numpy as np", "import numpy")
            .replace("np.where", "numpy.where")},
        {"neuron": BASE["neuron"].replace("import numpy as np", "from numpy import where")
            .replace("np.where", "where")},
    ],
)  # fmt: skip
def test_the_form_of_an_import_does_not_count(digest, changes):
    assert digest(**changes) == digest()


def test_modules_may_be_moved_renamed_split_and_merged(digest):
    before = digest()
    body = BASE["neuron"]
    moved = BASE["train"].replace("from respike import neuron", "from respike.cells import lif")
    moved = moved.replace("neuron.step", "lif.step")
    assert digest(neuron="", train=moved, **{"cells/__init__": "", "cells/lif": body}) == before
    head, tail = body.split("        def step")
    split = f"{head}        from respike.parts import step\n"
    parts = f"""
        import numpy as np
        from respike.neuron import THRESH, decay

        def step{tail}"""
    assert digest(neuron=split, parts=parts) == before
    merged = BASE["train"].replace("from respike import neuron\n", "") + body
    assert digest(train=merged.replace("neuron.step(", "step("), neuron="") == before
    renamed = {
        "neuron": body.replace("decay", "leak").replace("THRESH", "LEVEL"),
        "train": BASE["train"].replace("helper", "increment"),
    }
    assert digest(**renamed) == before


def test_definitions_that_refer_to_one_another_count_as_one(digest):
    circle = {
        "a": "from respike import b\ndef even(n):\n    return n == 0 or b.odd(n - 1)\n",
        "b": "from respike import a\ndef odd(n):\n    return n != 0 and a.even(n - 1)\n",
    }
    root = "respike.a.even"
    before = digest(root, **circle)
    assert digest(root, **circle) == before
    assert digest(root, **{**circle, "b": circle["b"].replace("n != 0", "n > 0")}) != before
    one = "".join(circle.values()).replace("b.odd", "odd").replace("a.even", "even")
    one = one.replace("from respike import a\n", "").replace("from respike import b\n", "")
    assert digest(root, a=one, b="") == before
    assert digest("respike.b.odd", **circle) != before


def test_a_module_used_as_an_object_counts_whole(digest):
    uses = {"train": "from respike import neuron\ndef run(s):\n    return getattr(neuron, s)(1)\n"}
    before = digest(**uses)
    assert digest(**uses, **edited("neuron", "mem - REST", "mem + REST")) != before
    star = {"train": "from respike.neuron import *\ndef run(s):\n    return step(s, 1)\n"}
    before = digest(**star)
    assert digest(**star, **edited("neuron", "beta * mem", "beta - mem")) != before
    assert digest(**star, **edited("neuron", "mem - REST", "mem + REST")) == before
    seen = {"train": BASE["train"] + "\n        def other():\n            return globals()\n"}
    reach = {"train": seen["train"].replace("helper(settings", "other()(settings")}
    before = digest(**reach)
    more = {"train": reach["train"].replace("x + 1", "x + 3")}  # helper is no longer called by name
    assert digest(**more) != before


def test_a_decorator_that_may_act_counts_for_all_that_import_its_module(digest):
    acting = """
        LIST = []

        def register(function):
            LIST.append(function)
            return function

        @register
        def first():
            return 1
        """
    used = BASE["train"].replace("import neuron", "import neuron, registry")
    before = digest(train=used, registry=acting)
    assert before != digest()
    assert digest(train=used, registry=acting.replace("return 1", "return 2")) != before
    known = acting.replace("        @register\n", "        @functools.cache\n")
    known = "        import functools\n" + known
    assert digest(train=used, registry=known) == digest()


def test_a_constant_whose_making_may_act_counts_on_import(digest):
    used = BASE["train"].replace("import neuron", "import neuron, state")
    pure = "import numpy as np\ndef table(n):\n    return np.arange(n)\nT = table(3)\n"
    assert digest(train=used, state=pure) == digest()
    acting = "import numpy as np\ndef table(n):\n    np.random.seed(n)\nT = table(3)\n"
    before = digest(train=used, state=acting)
    assert before != digest()
    assert digest(train=used, state=acting.replace("table(3)", "table(4)")) != before


def test_a_local_name_is_not_the_global_one(digest):
    local = {"train": "from respike import neuron\ndef run(neuron):\n    return neuron.step\n"}
    assert digest(**local) == digest(**local, neuron="")
    first = {"train": "x = [1]\ndef run():\n    return [x for x in x]\n"}  # the last x is global
    assert digest(**first) != digest(train=first["train"].replace("[1]", "[2]"))


def test_files_beside_a_module_count_by_content(digest, tmp_path):
    reads = """
        import json
        from pathlib import Path

        TABLE = Path(__file__).with_name("table.json")

        def run(s):
            return json.loads(TABLE.read_text())

        def other():
            return 1
        """
    src = tree(tmp_path / "files", train=reads)
    table = src / "respike" / "table.json"
    digests = []
    for text in ('{"a": 1, "b": 2}', '{"b":2,\n"a": 1}', '{"a": 1, "b": 3}'):
        table.write_text(text)
        digests.append(closure(["respike.train.run"], src).digest)
        assert closure(["respike.train.other"], src).digest
    assert digests[0] == digests[1] != digests[2]


def test_plumbing_counts_by_name_alone(digest):
    text = "from respike.runs.result import Result\ndef run(s):\n    return Result(s)\n"
    result = "def Result(x):\n    return x\nNetwork = 1\n"
    runs = {"runs/__init__": ""}
    before = digest(train=text, **runs, **{"runs/result": result})
    assert digest(train=text, **runs, **{"runs/result": result.replace("return x", "x")}) == before
    text = text.replace("Result", "Network")
    assert digest(train=text, **runs, **{"runs/result": result}) != before


def test_an_edit_counts_at_once(tmp_path):
    src = tree(tmp_path, **BASE)
    before = closure(["respike.train.run"], src).digest
    tree(tmp_path, neuron=BASE["neuron"].replace("beta * mem", "beta + mem"))
    after = closure(["respike.train.run"], src).digest
    assert after != before
    tree(tmp_path, **BASE)
    assert closure(["respike.train.run"], src).digest == before


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("1", "1.0"),
        ("1", "True"),
        ("'1'", "1"),
        ("None", "()"),
        ("x if y else z", "z if y else x"),
        ("f'{x}'", "f'{x!r}'"),
        ("f'{x}a'", "f'{x:a}'"),
        ("{**x}", "{None: x}"),
        ("lambda *, a, b=1: a", "lambda *, a=1, b: a"),
        ("[x for x in y if z]", "[x for x in y]"),
        ("x[1:]", "x[:1]"),
        ("0.1", "0.1000000000000001"),
    ],
)
def test_small_differences_count(digest, one, two):
    root = "respike.neuron.v"
    assert digest(root, neuron=f"v = {one}") != digest(root, neuron=f"v = {two}")


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import importlib\nm = importlib.import_module('x')\n", r"bad\.py:1: .*hides"),
        ("from importlib import import_module as load\n", "hides"),
        ("m = __import__('x')\n", "hides"),
        ("f = __import__\n", "hides"),
        ("def f(:\n", r"bad\.py:1: not valid Python"),
        ("from respike.neuron import nothing\nx = nothing\n", "respike.neuron has no nothing"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_refused(tmp_path, text, says):
    user = "from respike import bad\nx = bad\n"
    src = tree(tmp_path, **BASE, bad=text, user=user)
    with pytest.raises(ProvenanceError, match=says):
        closure(["respike.user.x"], src)


def test_an_unknown_root_is_named(tmp_path):
    with pytest.raises(ProvenanceError, match="has no nothing"):
        closure(["respike.nothing"], tree(tmp_path))
    with pytest.raises(ProvenanceError, match="respike.neuron has no gone"):
        closure(["respike.neuron.gone"], tree(tmp_path, **BASE))


# ---------------------------------------------------------------------------- Python versions

SHOW = """
import sys
from pathlib import Path
from respike.runs.closure import closure
print(closure(sys.argv[2:], Path(sys.argv[1])).digest)
"""


def of_sample(python, tmp_path):
    src = tree(tmp_path / "sample")
    shutil.copy(SAMPLE, src / "respike" / "sample.py")
    call = [python, "-c", SHOW, src, "respike.sample"]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_digest_is_the_same_under_every_supported_python(tmp_path):
    # The value was computed under 3.11.7, 3.12.1 and 3.13.0. It changes only with the scanner.
    assert of_sample(sys.executable, tmp_path) == "2372620721c35641"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_digest_under_another_python_of_this_machine(tmp_path, version):
    python = shutil.which(f"python{version}")
    works = python and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
    if not works:
        pytest.skip(f"no Python {version} on this machine")
    assert of_sample(python, tmp_path) == of_sample(sys.executable, tmp_path)


def test_equal_names_of_graphs_do_not_mix(tmp_path):
    one = closure(["respike.train.run"], tree(tmp_path / "1", **BASE))
    two = closure(["respike.train.run"], tree(tmp_path / "2", **BASE))
    assert one.digest == two.digest
    assert closures.bound_names("respike.neuron", tmp_path / "1") >= {"step", "THRESH", "np"}


def test_what_only_a_gpu_needs_counts_for_results_of_a_gpu_alone(tmp_path):
    text = """
        def run(settings, device):
            if device == "cuda":
                from respike.nets import gpu
                return gpu.step(settings)
            return settings
        """
    engine = "import triton\ndef step(x):\n    return x + 1\n"
    found = []
    for number, code in enumerate((engine, engine.replace("+ 1", "+ 2"))):
        modules = {"train": text, "nets/__init__": "", "nets/gpu": code}
        src = tree(tmp_path / str(number), **modules)
        found.append([closure(["respike.train.run"], src, device) for device in ("cpu", "cuda")])
    (cpu, cuda), (cpu_after, cuda_after) = found
    assert cpu.digest == cpu_after.digest != cuda.digest != cuda_after.digest
    assert "respike.nets.gpu" not in cpu.modules and "respike.nets.gpu" in cuda.modules
    other = text.replace("gpu.step", "gpu.other")
    src = tree(tmp_path / "2", **modules | {"train": other, "nets/gpu": engine + "other = step\n"})
    assert closure(["respike.train.run"], src, "cpu").digest != cpu.digest
