"""Calls as they occur in public code: what becomes of each, and what must not be touched."""

from __future__ import annotations

F = "import torch.nn.functional as F\n"
OPS = "from mindspore import ops\n"

TO_MINDSPORE = {
    # what is called -> what it becomes with the adapter
    F + "y = F.normalize(x, dim=1)\n": "portnorm.mindspore.normalize(x, dim=1)",
    F + "y = F.normalize(x, p=2, dim=-1)\n": "portnorm.mindspore.normalize(x, p=2, dim=-1)",
    F + "y = F.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    F + "y = F.normalize(x, dim=0, p=1)\n": "portnorm.mindspore.normalize(x, dim=0, p=1)",
    F + "y = F.normalize(x, eps=1e-6, p=2, dim=0)\n": (
        "portnorm.mindspore.normalize(x, eps=1e-6, p=2, dim=0)"
    ),
    F + "y = F.normalize(x, p=3)\n": "portnorm.mindspore.normalize(x, p=3)",
    F + "y = F.normalize(feature, 2, 1)\n": "portnorm.mindspore.normalize(feature, 2, 1)",
    F + "y = F.normalize(x, dim=d)\n": "portnorm.mindspore.normalize(x, dim=d)",
    F + "y = F.normalize(F.normalize(x), dim=0)\n": (
        "portnorm.mindspore.normalize(portnorm.mindspore.normalize(x), dim=0)"
    ),
    "import torch\ny = torch.nn.functional.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    "from torch import nn\ny = nn.functional.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    "import torch.nn as nn\ny = nn.functional.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    "from torch.nn.functional import normalize\ny = normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "from torch.nn import functional\ny = functional.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "from torch.nn import functional as F\ny = F.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    "from torch.nn.functional import normalize as l2norm\ny = l2norm(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    F + "from functools import partial\nf = partial(F.normalize, dim=-1)\n": (
        "partial(portnorm.mindspore.normalize, dim=-1)"
    ),
    F + "from functools import partial\nq, k = map(partial(F.normalize, dim=-1), (q, k))\n": (
        "map(partial(portnorm.mindspore.normalize, dim=-1), (q, k))"
    ),
    F + "class A:\n    def __init__(self, c):\n        self.n = F.normalize if c else id\n": (
        "self.n = portnorm.mindspore.normalize if c else id"
    ),
    F + "f = lambda x: F.normalize(x)\n": "lambda x: portnorm.mindspore.normalize(x)",
    "def f(x):\n    import torch.nn.functional as F\n    return F.normalize(x)\n": (
        "return portnorm.mindspore.normalize(x)"
    ),
    "try:\n    import torch.nn.functional as F\nexcept ImportError:\n    pass\nF.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "import torch\nimport torch.optim\nimport torch.nn\ny = torch.nn.functional.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    F + "if a:\n    G = F\nelse:\n    G = F\ny = G.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "import torch\nG = torch.nn.functional\ny = G.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "import torch\nF, n = torch.nn.functional, 1\ny = F.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    F + "class A:\n    def __init__(self):\n        self.F = F\n"
    "    def forward(self, h):\n        return self.F.normalize(h, dim=1)\n": (
        "portnorm.mindspore.normalize(h, dim=1)"
    ),
    "import torch\nclass A:\n    def __init__(this):\n        this.torch = torch\n"
    "    def f(me, h):\n        return me.torch.nn.functional.normalize(h)\n": (
        "portnorm.mindspore.normalize(h)"
    ),
    "class A:\n    import torch.nn.functional as F\n"
    "    def f(self, h):\n        return self.F.normalize(h)\n": "portnorm.mindspore.normalize(h)",
    F + "class A:\n    f = F\nclass B:\n    def g(self):\n        self.f = F\n"
    "        return self.f.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    "import importlib\nF = importlib.import_module('torch.nn.functional')\ny = F.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "from importlib import import_module\n"
    "y = import_module('.functional', package='torch.nn').normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "y = __import__('torch').nn.functional.normalize(x)\n": "portnorm.mindspore.normalize(x)",
    "import pytest\ntorch = pytest.importorskip('torch')\ny = torch.nn.functional.normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
    "import sys\ny = sys.modules['torch.nn.functional'].normalize(x)\n": (
        "portnorm.mindspore.normalize(x)"
    ),
}

TO_TORCH = {
    OPS + "y = ops.L2Normalize(axis=1)(x)\n": "portnorm.torch.L2Normalize(axis=1)(x)",
    OPS + "y = ops.L2Normalize(axis=-1, epsilon=1e-12)(x)\n": (
        "portnorm.torch.L2Normalize(axis=-1, epsilon=1e-12)(x)"
    ),
    OPS + "op = ops.L2Normalize(1)\ny = op(x)\n": "portnorm.torch.L2Normalize(1)",
    OPS + "y = ops.L2Normalize()(x)\n": "portnorm.torch.L2Normalize()(x)",
    OPS + "y = ops.L2Normalize(epsilon=1e-6)(x)\n": "portnorm.torch.L2Normalize(epsilon=1e-6)(x)",
    "from mindspore.ops import operations as P\nn = P.L2Normalize(axis=1)\n": (
        "portnorm.torch.L2Normalize(axis=1)"
    ),
    "import mindspore as ms\nn = ms.ops.L2Normalize(axis=1)\n": (
        "portnorm.torch.L2Normalize(axis=1)"
    ),
    "from mindspore.ops import L2Normalize\nn = L2Normalize(axis=1)\n": (
        "portnorm.torch.L2Normalize(axis=1)"
    ),
    "from mindspore.ops._primitive_cache import _get_cache_prim\n"
    + OPS
    + "y = _get_cache_prim(ops.L2Normalize)(1)(x)\n": "portnorm.torch.L2Normalize(1)(x)",
    OPS + "class A:\n    def __init__(self):\n        self.n = ops.L2Normalize(axis=1)\n"
    "    def construct(self, x):\n        return self.n(x)\n": "portnorm.torch.L2Normalize(axis=1)",
}

REPORTED = {
    # what is called -> the framework that it moves to, and the code of the report
    F + "y = F.normalize(x, out=y)\n": ("mindspore", "PN205"),
    F + "y = F.normalize(x, **kw)\n": ("mindspore", "PN204"),
    F + "y = F.normalize(*args)\n": ("mindspore", "PN204"),
    F + "y = F.normalize(x, axis=1)\n": ("mindspore", "PN206"),
    F + "y = getattr(F, 'normalize')(x)\n": ("mindspore", "PN201"),
    F + "F.normalize = f\n": ("mindspore", "PN203"),
    F + "del F.normalize\n": ("mindspore", "PN203"),
    F + "y = obj.F.normalize(x)\n": ("mindspore", "PN203"),
    F + "def f(lib=F):\n    return lib.normalize(x)\n": ("mindspore", "PN203"),
    F + "def f(lib):\n    return lib.normalize(x)\nf(F)\n": ("mindspore", "PN203"),
    F + "def f(lib):\n    return lib.normalize(x)\nf(lib=F)\n": ("mindspore", "PN203"),
    F + "def f():\n    return F\ny = f().normalize(x)\n": ("mindspore", "PN203"),
    F + "y = [F][0].normalize(x)\n": ("mindspore", "PN203"),
    F + "libs = {'a': F}\ny = libs['a'].normalize(x)\n": ("mindspore", "PN203"),
    F + "for lib in (F, G):\n    y = lib.normalize(x)\n": ("mindspore", "PN203"),
    F + "y = (F if a else G).normalize(x)\n": ("mindspore", "PN203"),
    F + "y = (a or F).normalize(x)\n": ("mindspore", "PN203"),
    F + "if a:\n    G = F\nelse:\n    G = other\ny = G.normalize(x)\n": ("mindspore", "PN203"),
    F + "class A:\n    @property\n    def f(self):\n        return F\n"
    "    def g(self, x):\n        return self.f.normalize(x)\n": ("mindspore", "PN203"),
    F + "class A:\n    def g(self, x):\n        self.f = F\n        self.f = other\n"
    "        return self.f.normalize(x)\n": ("mindspore", "PN203"),
    F + "class A:\n    f = F\n    def g(self, x):\n        return self.f.normalize(x)\n"
    "class B(A):\n    f = other\n": ("mindspore", "PN203"),
    F + "class A:\n    def g(self, x):\n        return self.F.normalize(x)\n": (
        "mindspore",
        "PN203",
    ),
    F + "class A:\n    f = F\nclass B(A):\n    def g(self, x):\n"
    "        return self.f.normalize(x)\n": ("mindspore", "PN203"),
    "import importlib\nname = 'torch.nn.functional'\nF = importlib.import_module(name)\n"
    "y = F.normalize(x)\n": ("mindspore", "PN203"),
    "F = LazyLoader('F', globals(), 'torch.nn.functional')\ny = F.normalize(x)\n": (
        "mindspore",
        "PN203",
    ),
    F + "import config\nconfig.F = F\ny = config.F.normalize(x)\n": ("mindspore", "PN203"),
    F + "import config\nconfig.nn.F = F\ny = config.nn.F.normalize(x)\n": ("mindspore", "PN203"),
    F + "get = lambda: F\ny = get().normalize(x)\n": ("mindspore", "PN203"),
    "import sys, torch\nnnf = sys.modules.get('torch.nn.functional')\ny = nnf.normalize(x)\n": (
        "mindspore",
        "PN203",
    ),
    F + "mock.patch.multiple(F, normalize=safe)\n": ("mindspore", "PN201"),
    "import torch\nmock.patch.multiple('torch.nn.functional', normalize=safe)\n": (
        "mindspore",
        "PN201",
    ),
    F + "vars(F).update(normalize=safe)\n": ("mindspore", "PN201"),
    F + "setattr(F, 'normalize', safe)\n": ("mindspore", "PN201"),
    F + "y = vars(F)['normalize'](x)\n": ("mindspore", "PN201"),
    F + "y = F.__dict__['normalize'](x)\n": ("mindspore", "PN201"),
    F + "y = operator.attrgetter('normalize')(F)(x)\n": ("mindspore", "PN201"),
    F + "with mock.patch.object(F, 'normalize'):\n    pass\n": ("mindspore", "PN201"),
    F + "def test_a(mocker):\n    mocker.spy(F, 'normalize')\n": ("mindspore", "PN201"),
    "import torch\nmock.patch('torch.nn.functional.normalize')\n": ("mindspore", "PN201"),
    "import torch\nmock.patch('mypackage.model.F.normalize')\n": ("mindspore", "PN201"),
    F + "y = eval('F.normalize(x)')\n": ("mindspore", "PN201"),
    F + "F.normalize = safe\ny = f(safe)\n": ("mindspore", "PN203"),
    OPS + "n = ops.L2Normalize(axis=1)\nn.add_prim_attr('a', 1)\n": ("torch", "PN208"),
    OPS + "n = ops.L2Normalize(axis=1).set_device('CPU')\ny = n(x)\n": ("torch", "PN208"),
    OPS + "class A:\n    def __init__(self):\n        self.n = ops.L2Normalize(axis=1)\n"
    "        self.n.recompute()\n": ("torch", "PN208"),
    OPS + "a = ops.L2Normalize(axis=1).name\n": ("torch", "PN208"),
    OPS + "def make():\n    return ops.L2Normalize(axis=1)\nn = make()\nn.shard(((1,),))\n": (
        "torch",
        "PN208",
    ),
    OPS + "class A:\n    n = ops.L2Normalize(axis=1)\n    def f(self):\n"
    "        self.n.set_device('CPU')\n": ("torch", "PN208"),
    OPS + "n: Any = ops.L2Normalize(axis=1)\nn.recompute()\n": ("torch", "PN208"),
    OPS + "class A(ops.L2Normalize):\n    pass\n": ("torch", "PN208"),
    OPS + "a = ops.L2Normalize.__mro__\n": ("torch", "PN208"),
    OPS + "class A:\n    def g(self, x):\n        return self.P.L2Normalize(1)(x)\n": (
        "torch",
        "PN203",
    ),
    "from torch.nn.functional import *\ny = normalize(x)\n": ("mindspore", "PN202"),
    F + "portnorm = 3\ny = F.normalize(x)\n": ("mindspore", "PN203"),
    F + "import other as portnorm\ny = F.normalize(x)\n": ("mindspore", "PN203"),
    "try:\n    from torch.nn.functional import normalize\nexcept ImportError:\n"
    "    normalize = None\ny = normalize(x)\n": ("mindspore", "PN203"),
    "import torch.nn.functional as F\nimport torchvision.transforms.functional as F\n"
    "y = F.normalize(x)\n": ("mindspore", "PN203"),
    OPS + "y = ops.L2Normalize(axis=1).shard(((1,),))(x)\n": ("torch", "PN208"),
    OPS + "y = ops.L2Normalize(x)\n": ("torch", "PN206"),
    OPS + "y = ops.L2Normalize(x, p=2, dim=1)\n": ("torch", "PN206"),
    OPS + "y = ops.L2Normalize(axis=1, eps=1e-6)(x)\n": ("torch", "PN206"),
    OPS + "op = ops.L2Normalize(axis=1)\ny = op(x, dim=-1)\n": ("torch", "PN206"),
    OPS + "y = ops.L2Normalize(**kw)(x)\n": ("torch", "PN204"),
    "from mindspore.ops import *\ny = L2Normalize(1)(x)\n": ("torch", "PN202"),
}

UNTOUCHED = [
    "import torchvision.transforms.functional as F\nimport torch\ny = F.normalize(x, m, s)\n",
    "from torchvision.transforms.functional import normalize\nimport torch\ny = normalize(x, m)\n",
    "from sklearn.preprocessing import normalize\nimport torch\ny = normalize(x)\n",
    "import torch\nclass A:\n    def normalize(self, x):\n        return self.normalize(x)\n",
    "import torch\ny = tokenizer.normalize(torch.tensor(x))\n",
    "import torch\nimport unicodedata\ny = unicodedata.normalize('NFC', s)\n",
    "import torch\ndef normalize(x):\n    return x\ny = normalize(x)\n",
    F + "def f(F, x):\n    return F.normalize(x)\n",
    "from torch.nn.functional import normalize\ndef f(normalize, x):\n    return normalize(x)\n",
    F + "y = f(normalize=True)\n",
    F + "text = 'F.normalize(x)'\n",
    F + "# F.normalize(x)\n",
    F + "y = F.layer_norm(x, (3,))\n",
    F + "y = x.normalize\n",
    "from torch.nn.functional import relu as n\nclass A:\n    normalize = 1\ny = A.normalize\n",
    "from .functional import normalize\nimport torch\ny = normalize(x)\n",
    "import functional as F\nimport torch\ny = F.normalize(x)\n",
    "import torch\nfrom mylib import L2Normalize\ny = L2Normalize(x)\n",
    "import mindspore\nclass L2Normalize:\n    pass\ny = L2Normalize()\n",
    "import mindspore\ny = layers.L2Normalize(axis=1)(x)\n",
    OPS + "y = ops.LayerNorm(x)\n",
    OPS + "def f(ops, x):\n    return ops.L2Normalize()(x)\n",
    "from mindspore import nn\ny = nn.L2Normalize()\n",
    "import torch\nx.L2Normalize = torch.ones(3)\n",
    "import mindspore\nfrom otherlib.ops import L2Normalize\ny = L2Normalize(axis=1)(x)\n",
    "import torch.nn.functional as F\nfrom mylib import functional as F2\ny = F2.normalize(x)\n",
    F + "def f():\n    F = object()\n    return F.normalize(1)\n",
    F + "@dataclass\nclass A:\n    normalize: bool = True\n",
    F + "y = normalize(x)\n",
    F + "y = [normalize for normalize in names]\n",
    "from torch.linalg import norm as normalize\ny = normalize(x)\n",
    F + "class A:\n    def __init__(self):\n        self.F = F\n        self.v = Vector()\n"
    "    def f(self):\n        return self.v.normalize()\n",
    F + "class A:\n    def f(self):\n        self.F = F\nclass B:\n    F = other\n"
    "    def f(self):\n        return self.G.normalize()\n",
    "import torch\nclass A:\n    F = Filters()\n    def f(self, x):\n"
    "        return self.F.relu(x) + self.normalize(x)\n",
    "import paddle\nimport paddle.nn\nimport torch\ny = paddle.nn.functional.normalize(x)\n",
    F + "if a:\n    G = jax.nn\nelse:\n    G = jax.numpy\ny = G.normalize(x)\n",
    F + "import config, other\nconfig.F = other\ny = config.F.normalize(x)\n",
    F + "mock.patch.multiple(tokenizer, normalize=safe)\n",
    F + "config.update(normalize=True)\n",
    "import paddle\nimport torch\ny = paddle.nn.functional.normalize(x)\n",
    "import paddle.nn.functional as F\nimport torch\ny = F.normalize(x)\n",
    "import importlib, torch\nF = importlib.import_module('paddle.nn.functional')\n"
    "y = F.normalize(x)\n",
    "import importlib, torch\ny = importlib.import_module('.layers', __package__).normalize(x)\n",
    "import torch, jax\ndef f():\n    return jax.nn\ny = f().normalize(x)\n",
    "import torch\nlibs = {'jax': jax.nn}\ny = libs['jax'].normalize(x)\n",
    "import torch\nx = getattr(transforms, 'normalize')(x)\n",
    "import torch\nsetattr(config, 'normalize', True)\n",
    "import torch\nmock.patch.object(tokenizer, 'normalize')\n",
    "import torch\nmock.patch('mypackage.text.normalize')\n",
    "import torch\nkeys = ['normalize', 'scale']\ny = f(torch.ones(3), normalize=True)\n",
    "import torch\ny = eval('vector.normalize()')\n",
    'import torch\ndef f():\n    """torch.nn.functional.normalize"""\n',
    "import torch\nraise ValueError('torch.nn.functional.normalize takes one tensor')\n",
    OPS + "n = ops.LayerNorm((3,)).shard(((1,),))\n",
]
"""False friends: nothing of these is torch's function or MindSpore's."""
