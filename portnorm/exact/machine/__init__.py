"""What the processor does for the arithmetic, with a plain Python twin of every instruction.

ieee            fused multiply-add, half types, the floating-point environment
lanes           numbers that lie side by side in one register
arrays          NumPy arrays as the memory that kernels read and write
pointers        that memory in a kernel
threads         one kernel on several cores
target          what Numba knows where it compiles, and where an instruction is added
garbage         none is collected at times
compilation     machine code: how it is made from Python, and kept on disk
"""
