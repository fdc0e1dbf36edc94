"""parity="strict" on torch tensors: what torch sees are operators that keep every bit.

calls       a call of either function: the short cut for plain tensors, otherwise an operator
operators   the operators in the namespace `portnorm`: their layouts, gradients and vmap
sharding    DTensor: who normalizes what where several processes share a tensor
host        the work: a tensor is handed to `portnorm.exact` as an array on the same memory
"""
