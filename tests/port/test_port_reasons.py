"""What people read of each place: why a call is untouched, and why one is left to them."""

from __future__ import annotations

import pytest

from portnorm.port import Target, port_source

F = "import torch.nn.functional as F\n"
LIB = "import importlib\n"
OPS = "from mindspore import ops\n"
ATTRIBUTE = "it may be torch.nn.functional.normalize, or what else is assigned, given or returned"


def unknown(owner: str) -> str:
    return f"it may be torch.nn.functional.normalize: nothing here says what {owner} is"


UNTOUCHED = {
    # bound to something that is not known, or not bound
    "import torch\nnormalize = f\ny = normalize(x)\n": "this file binds it to something else",
    "import torch\ny = normalize(x)\n": "nothing in this file binds the name",
    # star imports
    "from x import *\nimport torch\ny = a.normalize(x)\n": "it is a method of a",
    "from x import *\nnormalize = f\ny = normalize(x)\n": "this file binds it to something else",
    # modules by a string
    LIB + "y = importlib.import_module('').normalize(x)\n": (
        "it is a method of importlib.import_module('')"
    ),
    LIB + "y = importlib.import_module().normalize(x)\n": (
        "it is a method of importlib.import_module()"
    ),
    LIB + "y = importlib.import_module('..functional', package=p).normalize(x)\n": (
        "it is functional.normalize"
    ),
    "y = __import__('torch.nn.functional').normalize(x)\n": "it is torch.normalize",
    "y = __import__('torch.nn.functional', None, None).normalize(x)\n": "it is torch.normalize",
    # functions of Python
    F + "y = getattr(x, 'get')().normalize(x)\n": "it is a method of getattr(x, 'get')()",
    F + "y = locals()['F'].normalize(x)\n": "it is a method of locals()['F']",
    F + "y = type(F).normalize(x)\n": "it is builtins.type().normalize",
    # elements of something else
    F + "H, G = *F, 1\ny = H.normalize(x)\n": "it is a method of H",
    F + "H, G = F\ny = H.normalize(x)\n": "it is a method of H",
    F + "c[1] = F\ny = c[1].normalize(x)\n": "it is a method of c[1]",
    F + "class A:\n    k: F\n    def f(self, x):\n        return self.k.normalize(x)\n": (
        "it is a method of self.k"
    ),
}


@pytest.mark.parametrize("text", UNTOUCHED)
def test_why_a_call_is_untouched_is_told(text: str) -> None:
    ported = port_source(text, to="mindspore")
    assert (ported.text, ported.reported) == (text, ())
    (place,) = ported.places
    assert (place.reason or "").removesuffix(", as far as this file tells") == UNTOUCHED[text]


LEFT = {
    F + "y = next(F).normalize(x)\n": unknown("next(F)"),
    F + "H, *G = F, 1\ny = H.normalize(x)\n": unknown("H"),
    F + "G, H = [1, F]\ny = G.normalize(x)\n": unknown("G"),
    F + "c = {1: F}\ny = c[1].normalize(x)\n": unknown("c[1]"),
    F + "y = dict(a=F)['a'].normalize(x)\n": ATTRIBUTE,
    F + "c['k'] = F\ny = c['k'].normalize(x)\n": ATTRIBUTE,
    F + "c.k: Any = F\ny = c['k'].normalize(x)\n": ATTRIBUTE,
    F + "c: dict = {**d, 1: G, 'k': F}\ny = c['k'].normalize(x)\n": ATTRIBUTE,
    F + "y = (G := F).normalize(x)\n": ATTRIBUTE,
    F + "class A:\n    @staticmethod\n    def m(x):\n        x.f = F\n"
    "        return x.f.normalize(1)\n": ATTRIBUTE,
    "from mindspore import mint\n" + F + "G = mint.nn.functional if a else F\nG.normalize = f\n": (
        "another function is put in the place of mindspore.mint.nn.functional.normalize "
        "or torch.nn.functional.normalize"
    ),
    "import mindspore.mint\nmock.patch('a.F.normalize')\n": (
        "a string names mindspore.mint.nn.functional.normalize or torch.nn.functional.normalize"
    ),
    F + "y = eval(source='F.normalize(x)')\n": "the text that is run here may call it",
    F + "y = timeit.timeit(stmt='normalize(x)')\n": "the text that is run here may call it",
    F + "y = setattr(F, ('normalize'), z)\n": ("setattr may replace torch.nn.functional.normalize"),
    F + "y = setattr(F, 'a' if z else 'normalize', z)\n": (
        "a string may replace torch.nn.functional.normalize"
    ),
    F + "y = getattr(F, name='normalize')\n": "getattr finds torch.nn.functional.normalize",
    F + "y = vars(F)['normalize'](x)\n": "a string finds torch.nn.functional.normalize",
    "from a import *\ny = normalize(x)\n": (
        "nothing binds normalize but, maybe, the star import of a"
    ),
    "from b import *\nfrom a import *\ny = F.normalize(x)\n": (
        "nothing binds F.normalize but, maybe, the star import of a, b"
    ),
}


@pytest.mark.parametrize("text", LEFT)
def test_why_a_place_is_left_to_people_is_told(text: str) -> None:
    ported = port_source(text, to="mindspore")
    assert ported.text == text
    assert [one.message for one in ported.reported] == [LEFT[text]]


QUIET = [
    F + "y = exec('F.relu(normalize)')\n",
    F + "y = exec('F.normalize(')\n",
    F + "y = exec('a.normalize(F.relu(x))')\n",
    F + "y = print('F.normalize(x)')\n",
    F + "mock.patch('helpers.normalize_images')\n",
    F + "mock.patch('ops.normalize_images')\n",
]


@pytest.mark.parametrize("text", QUIET)
def test_texts_that_name_another_function_are_not_reported(text: str) -> None:
    ported = port_source(text, to="mindspore")
    assert (ported.text, ported.reported, ported.places) == (text, (), ())


@pytest.mark.parametrize(
    "module",
    [
        "importlib.import_module('torch.nn.functional')",
        "importlib.import_module('.functional', 'torch.nn')",
        "importlib.import_module('..functional', 'torch.nn.a')",
        "importlib.import_module('...functional', package='torch.nn.a.b')",
        "importlib.import_module('.nn.functional', package='torch')",
        "__import__('torch.nn.functional').nn.functional",
        "__import__('torch.nn.functional', fromlist=['a'])",
        "__import__('torch.nn.functional', None, None, ['a'])",
    ],
)
def test_a_module_that_a_string_names_is_followed(module: str) -> None:
    ported = port_source(f"{LIB}y = {module}.normalize(x)\n", to="mindspore")
    assert "y = portnorm.mindspore.normalize(x)\n" in ported.text


@pytest.mark.parametrize("to", ["torch", "mindspore"])
@pytest.mark.parametrize("mint", [False, True])
def test_a_star_may_bring_the_function_of_mint_where_mint_is_named(to: Target, mint: bool) -> None:
    text = "from mindspore import mint\n" * mint + "from a import *\ny = normalize(x)\n"
    reported = port_source(text, to=to).reported
    assert [one.code for one in reported] == ["PN202"] * (mint or to == "mindspore")


@pytest.mark.parametrize(
    ("given", "gives"),
    [
        ("", "none"),
        ("x, y", "2"),
        ("*x", "what a star hides"),
        ("*x, y=1", "what a star hides"),
        ("x, y=z, w=1", "y, w by keyword"),
    ],
)
def test_what_an_operator_is_wrongly_given_is_told(given: str, gives: str) -> None:
    (reported,) = port_source(f"{OPS}\nops.L2Normalize(1)({given})\n", to="torch").reported
    assert (
        reported.message == f"the operator takes one tensor by position, and line 3 gives {gives}"
    )
