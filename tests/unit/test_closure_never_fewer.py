"""Ways in which a definition can run, or an edit can matter, that are easy to miss."""

import pytest
from test_closure import tree

from respike.runs.closure import closure
from respike.runs.scan import ProvenanceError


def digest(folder, modules):
    """Return the digest of respike.train.run; keys with a suffix are other files."""
    src = tree(folder, **{name: text for name, text in modules.items() if "." not in name[2:]})
    for name, text in modules.items():
        if "." in name[2:]:
            file = src / "respike" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return closure(["respike.train.run"], src).digest


F = "def f():\n    return 1\n"
M = {"m": F}
NAMED = "from respike.m import f\n"
DATACLASS = "from dataclasses import dataclass, field\n"

# What `run` reaches, as (its module, the others): the 1 in one of the others is changed.
REACHED = {
    "walrus": (NAMED + "x = (y := f)\ndef run():\n    return y()\n", M),
    "walrus in a default": (NAMED + "def g(a=(y := f)): pass\ndef run():\n    return y()\n", M),
    "bound twice": (NAMED + "g = None\ng = f\ndef run():\n    return g()\n", M),
    "fallback of an import": (
        "try:\n    from respike.m import f\nexcept ImportError:\n    f = None\n"
        "def run():\n    return f()\n", M,
    ),
    "one of two imports in a function": (
        "def run(a):\n    if a:\n        from respike.m import f as g\n    else:\n"
        "        from respike.n import f as g\n    return g()\n", {**M, "n": "f = None\n"},
    ),
    "import in a class": (
        "class A:\n    from respike.m import f as g\ndef run():\n    return A.g()\n", M,
    ),
    "a class takes the name from outside": (
        NAMED + "class A:\n    f = f\ndef run():\n    return A.f()\n", M,
    ),
    "a class may take it from outside": (
        NAMED + "class A:\n    if id: f = 2\n    g = f\ndef run():\n    return A.g()\n", M,
    ),
    "deleted in a class": (
        NAMED + "class A:\n    f = 2\n    del f\n    g = f\ndef run():\n    return A.g()\n", M,
    ),
    "default of a method": (
        NAMED + "class A:\n    def g(self, h=f): return h()\ndef run():\n    return A().g()\n", M,
    ),
    "field of a dataclass": (
        DATACLASS + NAMED + "@dataclass\nclass A:\n    x: int = field(default_factory=f)\n"
        "def run():\n    return A()\n", M,
    ),
    "property": (
        NAMED + "class A:\n    g = property(lambda self: f())\ndef run():\n    return A().g\n", M,
    ),
    "comprehension": (NAMED + "def run(x):\n    return [f() for g in x if g]\n", M),
    "first iterable of a comprehension": (NAMED + "def run():\n    return [f for f in f()]\n", M),
    "pattern": ("from respike import m\ndef run(x):\n    match x:\n        case m.f: pass\n", M),
    "default of a lambda": (NAMED + "g = lambda f=f: f()\ndef run():\n    return g()\n", M),
    "partial": (
        "import functools\n" + NAMED + "g = functools.partial(f)\ndef run():\n    return g()\n", M,
    ),
    "registry": (NAMED + "ALL = {'f': f}\ndef run(s):\n    return ALL[s]()\n", M),
    "global": (
        NAMED + "g = None\ndef put():\n    global g\n    g = f\n"
        "def run():\n    put()\n    return g()\n", M,
    ),
    "nested": (NAMED + "def run():\n    def g():\n        return f()\n    return g\n", M),
    "augmented": (NAMED + "x = []\nx += [f]\ndef run():\n    return x[0]()\n", M),
    "getattr": ("from respike import m\ndef run(s):\n    return getattr(m, s)()\n", M),
    "module by another name": ("from respike import m\nn = m\ndef run():\n    return n.f()\n", M),
    "package as an object": (
        "from respike import p\ndef run(s):\n    return getattr(p, s).f()\n",
        {"p/__init__": "", "p/q": F},
    ),
    "text that names a module": ("def run(s):\n    return s('respike.m')\n", M),
    "locals": ("def run():\n    from respike.m import f\n    return locals()['f']()\n", M),
    "star over a builtin": (
        "from respike.m import *\ndef run():\n    return sum(2)\n",
        {"m": "def sum(x):\n    return 1\n"},
    ),
    "star over an own name": (
        "def f(): pass\nfrom respike.m import *\ndef run():\n    return f()\n", M,
    ),
    "star of a star": (
        "from respike.n import *\ndef run():\n    return f()\n",
        {**M, "n": "from respike.m import *\n"},
    ),
    "star in a circle": (
        "from respike.n import *\ndef run():\n    return f()\n",
        {"m": F + "from respike.n import *\n", "n": "from respike.m import *\n"},
    ),
    "star in a module as an object": (
        "from respike import n\ndef run(s):\n    return getattr(n, s)()\n",
        {**M, "n": "from respike.m import *\n"},
    ),
    "re-export": (
        "from respike.p import g\ndef run():\n    return g()\n",
        {"p/__init__": "from .q import f as g\n", "p/q": F},
    ),
    "a name of a package hides its module": (
        "from respike.p import q\ndef run():\n    return q()\n",
        {"p/__init__": "from respike.m import f as q\n", "p/q": "", **M},
    ),
    "module of a package by a relative import": (
        "from respike.p import g\ndef run():\n    return g()\n",
        {"p/__init__": "from . import q\ndef g():\n    return q.f()\n", "p/q": F},
    ),
    "package beside a module": (
        NAMED + "def run():\n    return f()\n", {"m": "f = None\n", "m/__init__": F},
    ),
    "annotations that a class reads": (
        "from respike.m import A\ndef run():\n    return A.parse()\n",
        {"m": "from typing import NamedTuple\nclass A(NamedTuple):\n    x: 'l1'\n    @classmethod\n"
         "    def parse(cls):\n        return cls.__annotations__.items()\n"},
    ),
    "annotations of what derives": (
        "from respike.m import A\ndef run():\n    return A().g()\n",
        {"m": "class B:\n    def g(self):\n        return self.__annotations__\n"
         "class A(B):\n    x: 'l1'\n"},
    ),
    "annotations of arguments": (
        "import inspect\nfrom respike.m import f\ndef run():\n    return inspect.signature(f)\n",
        {"m": "def f(x: 'l1'): pass\n"},
    ),
    "what an annotation names": (
        "from typing import get_type_hints\nfrom respike.n import A\n"
        "def run():\n    return get_type_hints(A)\n",
        {**M, "n": NAMED + "class A:\n    x: f\n"},
    ),
    "name of a function": (
        "from respike.m import g\ndef run():\n    return g.__name__\n",
        {"m": "def f1(): pass\ng = f1\n"},
    ),
    "name of a module": (
        "from respike.m import where\ndef run():\n    return where()\n",
        {"m": "from respike.n1 import where\n", "n1": "def where():\n    return __name__\n",
         "n2": "def where():\n    return __name__\n"},
    ),
    "file in a folder that is named elsewhere": (
        "from respike.m import HERE\ndef run():\n    return (HERE / 'table.txt').read_text()\n",
        {"m": "from pathlib import Path\nHERE = Path(__file__).parent\n", "table.txt": "1"},
    ),
    "file in a folder": (
        "from pathlib import Path\ndef run(s):\n    return Path(__file__).parent / 'tables' / s\n",
        {"tables/table.txt": "1"},
    ),
    "file further out": (
        "from pathlib import Path\n"
        "def run():\n    return (Path(__file__).parents[1] / 'a' / 'b.txt').read_text()\n",
        {"../a/b.txt": "1"},
    ),
}  # fmt: skip

# What acts when m is imported.
ACTS = {
    "class body": "class A:\n    for x in '1': id(x)\n",
    "metaclass": "class M(type): pass\nclass A(metaclass=M): x = 1\n",
    "metaclass of a base": "from respike.n import B\nclass C(B): x = 1\n",
    "init_subclass of a base's base": "from respike.n import D\nclass C(D): x = 1\n",
    "initialiser of a base": (
        "class A:\n    def __init__(self): print(1)\nclass B(A): pass\nx = B()\n"
    ),
    "keyword of a class": "def g(): print(1)\nclass A(object, x=g()): pass\n",
    "factory of a field": (
        DATACLASS
        + "def g(): print(1)\n@dataclass\nclass A:\n    x: int = field(default_factory=g)\n"
        "y = A()\n"
    ),
    "wrapper of a decorator": (
        "L = []\ndef log(f):\n    def g():\n        L.append(1)\n        return f\n    return g\n"
        "@log\ndef h(): pass\nx = h()\n"
    ),
    "state changed by a helper": "S = {}\ndef g():\n    S['a'] = 1\n    return 2\nx = g()\n",
    "state of another module": "from respike import n\nn.x = 1\n",
    "argument changed by a helper": "S = []\ndef g(s):\n    s.append(1)\n    return s\nx = g(S)\n",
    "called by what it is handed to": "def g(x): print(1)\nx = list(map(g, 'a'))\n",
    "called in a lambda": "def g(x): print(1)\nx = sorted('a', key=lambda y: g(y))\n",
    "held by what is handed on": "def g(x): print(1)\nG = (g,)\nx = list(map(min, 'a', G))\n",
    "default of a lambda": "def g(): print(1)\nx = lambda *, y=g(): y\n",
    "import in a helper": "def g():\n    import respike.n\n    return 1\nx = g()\n",
    "random state": "import torch\nx = torch.nn.Linear(1, 2)\n",
    "step of an iterator": "import itertools\nI = itertools.count()\nx = next(I, 1)\n",
    "numpy puts out": "import numpy as np\nS = np.zeros(2)\nx = np.add(S, 1, out=S)\n",
    "item": "S = {}\nS['a'] = 1\n",
    "branch": "if print:\n    x = 1\n",
    "with": "with print() as x:\n    y = 1\n",
    "loop": "for x in range(1): pass\n",
}
OTHER = (
    "x = 0\nclass M(type): pass\nclass B(metaclass=M): pass\n"
    "class E:\n    def __init_subclass__(cls): print(2)\nclass D(E): pass\n"
)


def check_one_counts(folder, modules):
    edits = {k: v.replace("1", "2") for k, v in modules.items() if k != "train" and "1" in v}
    assert len(edits) == 1
    assert digest(folder / "2", modules | edits) != digest(folder / "1", modules)


@pytest.mark.parametrize("name", REACHED)
def test_what_can_be_reached_counts(tmp_path, name):
    train, others = REACHED[name]
    check_one_counts(tmp_path, {"train": train, **others})


@pytest.mark.parametrize("name", ACTS)
def test_what_acts_on_import_counts(tmp_path, name):
    train = "from respike import m\ndef run(): pass\n"
    check_one_counts(tmp_path, {"train": train, "m": ACTS[name], "n": OTHER})


def test_a_module_that_is_imported_in_a_class_may_act(tmp_path):
    train = "class A:\n    from respike import m\ndef run(): pass\n"
    check_one_counts(tmp_path, {"train": train, "m": "print(1)\n"})


USE = "from respike.m import *\n"
RUN = "def run(s):\n    return getattr(m, s)()\n"
PAIRS = {
    "order of what acts": (
        "L.append(2)\nL.append(3)\nrun = L\n",
        "L.append(3)\nL.append(2)\nrun = L\n",
    ),
    "a value before and after": ("L.append(2)\nrun = [*L]\n", "run = [*L]\nL.append(2)\n"),
    "a name before and after": ("x = 2\nrun = [x]\nx = 3\n", "x = 2\nx = 3\nrun = [x]\n"),
    "names in a module as an object": (
        "import respike.train as m\ndef f(): return 2\ndef g(): return 3\n" + RUN,
        "import respike.train as m\ndef g(): return 2\ndef f(): return 3\n" + RUN,
    ),
    "names in a branch": (
        "if L:\n    def f(): return 2\n    def g(): return 3\ndef run():\n    return f()\n",
        "if L:\n    def g(): return 2\n    def f(): return 3\ndef run():\n    return f()\n",
    ),
    "import in a branch": (
        "x = 2\nif L:\n    from math import pi as x\n    y = 3\nelse:\n    y = 4\nrun = [x]\n",
        "x = 2\nif L:\n    y = 3\nelse:\n    from math import pi as x\n    y = 4\nrun = [x]\n",
    ),
    "equal lists": (
        "A = []\nB = []\ndef f():\n    A.append(2)\ndef g():\n    return A\n"
        "def run():\n    f()\n    return g(), B\n",
        "A = []\nB = []\ndef f():\n    A.append(2)\ndef g():\n    return B\n"
        "def run():\n    f()\n    return g(), B\n",
    ),
    "equal errors": (
        "class A(ValueError): pass\nclass B(ValueError): pass\ndef f():\n    raise A\n"
        "def run():\n    try:\n        f()\n    except A:\n        return B\n",
        "class A(ValueError): pass\nclass B(ValueError): pass\ndef f():\n    raise B\n"
        "def run():\n    try:\n        f()\n    except A:\n        return B\n",
    ),
    "equal objects behind equal functions": (
        "A = []\nB = []\ndef a():\n    return A\ndef b():\n    return B\n"
        "def f():\n    a().append(2)\ndef g():\n    return a()\n"
        "def run():\n    f()\n    return g(), b()\n",
        "A = []\nB = []\ndef a():\n    return A\ndef b():\n    return B\n"
        "def f():\n    a().append(2)\ndef g():\n    return b()\n"
        "def run():\n    f()\n    return g(), b()\n",
    ),
    "unknown names beside a star": (
        "from math import *\ndef run():\n    return sin(2)\n",
        "from math import *\ndef run():\n    return cos(2)\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_another_order_or_object_counts(tmp_path, name):
    one, two = ({"train": f"L = []\n{text}"} for text in PAIRS[name])
    assert digest(tmp_path / "1", one) != digest(tmp_path / "2", two)


@pytest.mark.parametrize(
    ("train", "of_m"),
    [
        (NAMED + "def g():\n    return f()\ndef run(): pass\n", F),
        ("from respike import m\nx = 1\ndef run():\n    return x\n", F),
        ("from respike import m\ndef run():\n    return m.g\n", "if 0: pass\ng = 2\n" + F),
        ("from respike import m\ndef run():\n    return m.g\n", F + "class g: x: 'l'\n"),
        ("from respike import m\ndef run(): pass\n", "def g(): print(1)\nx = lambda: g()\n"),
        (
            "from respike import m\ndef run(): pass\n",
            "import functools\ndef g(): print(1)\nx = functools.partial(g)\n",
        ),
        (
            "from respike import m\ndef run(): pass\n",
            "import numpy\ndef g():\n    t = numpy.zeros(2)\n    t[0] = 1\n    return t\nx = g()\n",
        ),
        ("from respike.m import g\ndef run():\n    return g\n", "g = 2\nclass A(dict): x = 1\n"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from respike.m import f\n"
            "def run(x: 'f'): pass\n", F,
        ),
        ("from respike import m\ndef run():\n    return m.A\n", "class A:\n    x: 'l1'\n"),
        (
            "from respike.m import f\ndef run():\n    raise ValueError(f.__name__)\n",
            "def f1(): pass\nf = f1\n",
        ),
    ],
)  # fmt: skip
def test_what_cannot_run_does_not_count(tmp_path, train, of_m):
    one, two = ({"train": train, "m": text} for text in (of_m, of_m.replace("1", "2")))
    assert of_m != two["m"] or "1" not in of_m
    assert digest(tmp_path / "1", one) == digest(tmp_path / "2", two)


@pytest.mark.parametrize(
    "text",
    [
        "import sys\ndef run(s):\n    return sys.modules['respike.m'].f()\n",
        "import sys as s\ndef run():\n    return s.modules.values()\n",
        "from sys import modules\ndef run():\n    return modules\n",
        "from importlib import resources\ndef run(): pass\n",
        "def run():\n    import pickle\n    return pickle\n",
        "def run():\n    import builtins\n    return builtins.eval\n",
        "def run(f):\n    return f.__globals__['f']()\n",
        "from respike import m\ndef run():\n    return m.__file__\n",
        "def run(s):\n    return open(__file__ + s)\n",
        "HERE = __file__\ndef run(s):\n    return HERE + s\n",
        f"def run():\n    return {'+'.join('x' * 9000)}\n",
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, text):
    with pytest.raises(ProvenanceError, match=r"train\.py.*(hides|cannot be told|too deep)"):
        digest(tmp_path, {"train": text, "m": F})


def test_versions_of_packages_may_be_asked_for(tmp_path):
    text = "from importlib import metadata\ndef run():\n    return metadata.version('numpy')\n"
    assert digest(tmp_path, {"train": text})
