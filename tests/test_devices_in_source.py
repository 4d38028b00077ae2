"""Checks of the source for mistakes that only show on a GPU, such as tensors created on the wrong device."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "recbole"
ROOMS = ("model", "unlearning", "evaluator", "trainer", "ensemble", "audit")
"""Packages whose functions use tensors of models; missing ones are skipped."""

MAKERS = {"arange", "empty", "eye", "full", "linspace", "normal", "ones", "rand", "randint", "randn", "randperm",
          "tensor", "zeros"}  # fmt: skip
"""Functions of torch that make a tensor on the CPU unless told otherwise."""

ON_THE_CPU = {
    "model/fitted.py:_packed": "what a checkpoint holds",
    "model/general_recommender/itemknn.py:scores": "SciPy's; the caller moves it",
    "model/next_basket_recommender/tifuknn.py:rebuild": "counted on the CPU, moved at the end",
    "model/next_basket_recommender/tifuknn.py:_csr_tensor": "the caller moves it",
    "ensemble/partitioning.py:make_partition": "what is written to a file",
    "unlearning/case.py:idle": "batches of the data set",
    "unlearning/second_order/series.py:mean": "a number, which crosses over",
    "unlearning/second_order/subspace.py:norm": "a number, which crosses over",
    "unlearning/algorithms/exact.py:_square": "SciPy's; a norm is taken",
    "unlearning/algorithms/fanchuan.py:_from_uniform": "batches of the data set",
    "unlearning/algorithms/filter.py:_hidden": "pairs that a checkpoint holds",
    "unlearning/algorithms/filter.py:_hide": "pairs that a checkpoint holds",
    "unlearning/descent.py:reached": "ids of a batch of the data set, moved at the end",
    "unlearning/unread.py:count": "counts of ids of the data set",
    "unlearning/unread.py:read": "ids of batches of the data set",
    "unlearning/unread.py:_undrawn": "candidates, counted on the CPU",
    "unlearning/noise.py:normal": "drawn on the CPU, moved at the end",
    "trainer/original.py:_rebuild_tensor": "what a checkpoint held",
    "trainer/original.py:persistent_load": "what a checkpoint held",
}
"""Exceptions: file:function to the reason why its tensors are on the CPU, or are moved in another expression."""

CLOCKS = {"utils/device.py": "the clock that waits", "utils/deadline.py": "limits, not measurements",
          "unlearning/algorithm.py": "a request's limit"}  # fmt: skip
"""Files that may read the clock without waiting for the device."""


def called(node):
    """Return the dotted name of the called function, ``""`` if the expression is not made of names."""
    parts, at = [], node.func
    while isinstance(at, ast.Attribute):
        parts.append(at.attr)
        at = at.value
    return ".".join([at.id, *reversed(parts)]) if isinstance(at, ast.Name) else ""


def told(node, name):
    return any(keyword.arg == name for keyword in node.keywords)


def above(node, parents):
    """Yield the expressions that contain a node, up to its statement."""
    while (node := parents.get(node)) is not None and not isinstance(node, ast.stmt):
        yield node


def moved(node, parents):
    """Return whether the expression around a node moves it to a device, or makes it a parameter or buffer."""
    around = [e for e in above(node, parents) if isinstance(e, ast.Call)]
    methods = {e.func.attr for e in around if isinstance(e.func, ast.Attribute)}
    return bool(methods & {"to", "copy_", "register_buffer", "Parameter"})


def function_of(node, parents):
    """Return the function that contains a node, or the module."""
    while node in parents and not isinstance(node, ast.FunctionDef):
        node = parents[node]
    return node


def source_of_function(node, parents):
    return ast.unparse(function_of(node, parents))


def breaches(text):
    """Yield (function, line, what is wrong) of a module's source."""
    tree = ast.parse(text)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (wrong := breach(node, parents)):
            yield getattr(function_of(node, parents), "name", ""), node.lineno, wrong


def breach(node, parents):
    """Return what is wrong with a call, or None.

    * What makes a tensor says on which ``device``, or is moved or made a parameter or a buffer in the same expression;
      or draws from a ``generator``, which is on the CPU unless the call says otherwise.
    * What comes from NumPy is moved in the same expression.
    * What goes to NumPy comes to the CPU in the same expression.
    * What draws on a device has no generator that was made without one.
    """
    name = called(node)
    if name.startswith("torch.") and name[6:] in MAKERS:
        if (
            told(node, "device")
            and told(node, "generator")
            and "torch.Generator()" in source_of_function(node, parents)
        ):
            return f"{name} on a device, with a generator of the CPU"
        if not (told(node, "device") or told(node, "generator") or moved(node, parents)):
            return f"{name} without device"
    if name == "torch.from_numpy" and not moved(node, parents):
        return "torch.from_numpy that is not moved"
    if isinstance(node.func, ast.Attribute) and node.func.attr == "numpy" and not node.args:
        inner = node.func.value
        methods = [
            n.func.attr for n in ast.walk(inner) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
        ]
        if "cpu" not in methods:
            return "numpy() without cpu()"
    return None


def found():
    """Return file:function to the breaches in it."""
    places = {}
    for path in (path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))):
        for function, line, wrong in breaches(path.read_text(encoding="utf-8")):
            places.setdefault(f"{path.relative_to(PACKAGE)}:{function}", []).append(f"line {line}: {wrong}")
    return places


def test_tensors_say_where_they_are():
    assert {place: wrong for place, wrong in found().items() if place not in ON_THE_CPU} == {}


def test_no_exception_is_left_over():
    assert set(ON_THE_CPU) <= set(found())


def test_clocks_wait_for_the_device():
    hasty = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if "perf_counter" in p.read_text("utf-8")}
    assert hasty <= set(CLOCKS)


@pytest.mark.parametrize(
    "line",
    [
        "x = torch.zeros(3)",
        "x = torch.tensor([1, 2])",
        "x = y + torch.arange(len(y))",
        "x = torch.from_numpy(rows)",
        "x = scores.numpy()",
        "x = scores.detach().numpy().copy()",
        "g = torch.Generator().manual_seed(1); x = torch.randn(3, generator=g, device=d)",
    ],
)
def test_a_breach_is_found(line):
    assert len(list(breaches(f"def f():\n    {line}\n"))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "x = torch.zeros(3, device=y.device)",
        "x = torch.tensor([1, 2]).to(y)",
        "x = y.new_zeros(3)",
        "self.w = nn.Parameter(torch.empty(3))",
        "self.register_buffer('w', torch.zeros(3))",
        "x = torch.from_numpy(rows).to(device)",
        "self.w.copy_(torch.from_numpy(rows))",
        "x = scores.cpu().numpy()",
        "g = torch.Generator().manual_seed(1); x = torch.randn(3, generator=g).to(d)",
        "g = torch.Generator(d).manual_seed(1); x = torch.randn(3, generator=g, device=d)",
    ],
)
def test_what_is_right_is_left_alone(line):
    assert list(breaches(f"def f():\n    {line}\n")) == []
