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
    "import torch\nG = torch.nn.functional\ny = G.normalize(x)\n": ("mindspore", "PN203"),
    "from torch.nn.functional import *\ny = normalize(x)\n": ("mindspore", "PN202"),
    F + "portnorm = 3\ny = F.normalize(x)\n": ("mindspore", "PN203"),
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
    F + "F.normalize = f\n",
    F + "del F.normalize\n",
    "import mindspore\nfrom otherlib.ops import L2Normalize\ny = L2Normalize(axis=1)(x)\n",
    "import torch.nn.functional as F\nfrom mylib import functional as F2\ny = F2.normalize(x)\n",
    F + "def f():\n    F = object()\n    return F.normalize(1)\n",
    F + "@dataclass\nclass A:\n    normalize: bool = True\n",
    F + "y = obj.F.normalize(x)\n",
    F + "y = normalize(x)\n",
    F + "y = [normalize for normalize in names]\n",
    "from torch.linalg import norm as normalize\ny = normalize(x)\n",
]
"""False friends: nothing of these is torch's function or MindSpore's."""
