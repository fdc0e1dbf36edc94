"""Bit-exact arithmetic on NumPy arrays; it knows no framework.

torch_cpu       `F.normalize` and its vector-Jacobian product: the public functions
torch_plans     what of a call depends on layout, arguments and reference, and not on the values
torch_kernels   what is done with the elements
torch_cascade   the order of torch.sum, which the gradient needs
torch_walks     which dims a strided reduction walks, and in which order
torch_parts     whether a part of an array has the bits that it has in the whole
torch_gradient  what the gradient does around its sum, on every device
torch_cuda      the same two functions on a CUDA device, without one
cuda_launch     which threads and blocks share a sum there
cuda_kernels    the order of that sum
cuda_plans      what does not depend on the values, likewise
mindspore_cpu, mindspore_kernels   `L2Normalize` and the gradient of its kernel, likewise
blocks, reduction   what both functions share: columns in memory, and the orders of sums
accurate, accurate_kernels   both at p = 2, near to the exact values; the bits do not matter there
machine         IEEE operations, vector registers, memory, threads, machine code
"""
