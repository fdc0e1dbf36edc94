"""What the examples need of torch besides their models."""

import torch
from torch.nn import functional


def train(loss, weights, data, steps, rate):
    """Return the losses before each of some steps of gradient descent."""
    weights = [torch.tensor(array, requires_grad=True) for array in weights]
    data = [torch.tensor(array) for array in data]
    optimizer = torch.optim.SGD(weights, rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(*weights, *data)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def array(tensor):
    """Return a copy of the values."""
    return tensor.detach().numpy().copy()


def on_gradient(tensor, use):
    """Call a function with the gradient of a tensor when it is known."""
    tensor.register_hook(lambda gradient: use(array(gradient)))


def with_gradient(function, x, cotangent):
    """Return what a function makes of an array, and the gradient."""
    x = torch.tensor(x, requires_grad=True)
    y = function(x)
    y.backward(torch.tensor(cotangent))
    return array(y), array(x.grad)


def own_normalize(x, dim):
    """Return what torch's own function gives."""
    return functional.normalize(x, dim=dim)
