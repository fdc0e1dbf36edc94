"""What the examples need of MindSpore besides their models."""

import mindspore
from mindspore import Tensor, ops

mindspore.runtime.launch_blocking()  # small operators on a CPU are faster one by one


def train(loss, weights, data, steps, rate):
    """Return the losses before each of some steps of gradient descent."""
    weights = [Tensor(array) for array in weights]
    data = [Tensor(array) for array in data]
    step = mindspore.value_and_grad(loss, tuple(range(len(weights))))
    losses = []
    for _ in range(steps):
        value, gradients = step(*weights, *data)
        weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
        losses.append(float(value.asnumpy()))
    return losses


def array(tensor):
    """Return a copy of the values."""
    return tensor.asnumpy().copy()


def on_gradient(tensor, use):
    """Call a function with the gradient of a tensor when it is known."""
    tensor.register_hook(lambda gradient: use(array(gradient)))


def with_gradient(function, x, cotangent):
    """Return what a function makes of an array, and the gradient."""
    gradient = ops.GradOperation(sens_param=True)(function)
    return array(function(Tensor(x))), array(gradient(Tensor(x), Tensor(cotangent)))


def own_normalize(x, dim):
    """Return what MindSpore's own function gives."""
    return ops.L2Normalize(axis=dim)(x)
