"""Bit-exact arithmetic on NumPy arrays; it knows no framework.

torch_cpu       `F.normalize` and its vector-Jacobian product: plans and public functions
torch_kernels   what `torch_cpu` does with the elements
parts           whether a part of an array has the bits that it has in the whole
definition      both at p = 2, near to the exact values; the bits do not matter there
mindspore_cpu   `L2Normalize` and the gradient of its kernel
iteration       which dims a strided reduction walks, and in which order
reduction       summation orders
lanes, ieee     vector registers; fused multiply-add, half types, flush-to-zero
arrays, parallel, compilation   memory, cores, machine code
"""
