"""The two functions as data: names, defaults, domains, the place of epsilon, error texts.

Both hosts, the comparison and the guide read from here, so that each fact is stated once.
Tensors do not occur: a shape is a tuple of ints and a dtype is its name ("float32").
Standard library only.

functions      names, defaults, domains
normalize      arguments and errors of torch's function
l2_normalize   arguments and errors of MindSpore's
rounding       numbers as the dtypes of tensors hold them
missing        the error for names that portnorm does not have
tensors        what a value is that is no tensor of the host

Sources: torch 2.13.0 and MindSpore 2.10.0, observed on CPU builds; the tests compare every error
with the live function's.
"""

from portnorm.semantics.functions import (
    L2NORMALIZE,
    NORMALIZE,
    WIDENED_INPUT,
    Function,
    Shape,
    layer_repr,
)
from portnorm.semantics.l2_normalize import (
    EPSILONS_MERGED_WITHIN,
    LARGEST_CONFUSED_EPSILON,
    check_l2_normalize_input,
    l2_normalize_arguments,
    l2_normalize_axis,
    l2_normalize_epsilon,
    l2_normalize_input_is_no_tensor,
    round_epsilon,
)
from portnorm.semantics.missing import no_such_name
from portnorm.semantics.normalize import (
    GRADIENT_ORDERS,
    OUT_WITH_GRADIENT,
    NormalizeArguments,
    check_out_dtype,
    dim_of_scalar,
    dtype_is_not_promised,
    forward_mode_is_not_promised,
    gradient_is_not_promised,
    input_is_no_tensor,
    normalize_arguments,
    normalize_dims,
    normalize_eps,
    normalize_order,
    out_is_no_tensor,
)
from portnorm.semantics.rounding import (
    LARGEST,
    round_to,
)
from portnorm.semantics.tensors import other_kind

__all__ = [
    "EPSILONS_MERGED_WITHIN",
    "GRADIENT_ORDERS",
    "L2NORMALIZE",
    "LARGEST",
    "LARGEST_CONFUSED_EPSILON",
    "NORMALIZE",
    "OUT_WITH_GRADIENT",
    "WIDENED_INPUT",
    "Function",
    "NormalizeArguments",
    "Shape",
    "check_l2_normalize_input",
    "check_out_dtype",
    "dim_of_scalar",
    "dtype_is_not_promised",
    "forward_mode_is_not_promised",
    "gradient_is_not_promised",
    "input_is_no_tensor",
    "l2_normalize_arguments",
    "l2_normalize_axis",
    "l2_normalize_epsilon",
    "l2_normalize_input_is_no_tensor",
    "layer_repr",
    "no_such_name",
    "normalize_arguments",
    "normalize_dims",
    "normalize_eps",
    "normalize_order",
    "other_kind",
    "out_is_no_tensor",
    "round_epsilon",
    "round_to",
]
