"""IEEE 754 operations that neither NumPy nor Numba has, for scalars and for lanes.

Half types are held as integers, for Numba's CPU target has no arithmetic for them: `uint16` holds
the bits of a float16, `int16` those of a bfloat16. `widen` and `narrow` tell them apart by that.
Each operation exists twice, and the tests hold the two to each other: as the plain Python below,
which says what it computes, and as the instructions that compiled code runs in its place.
"""

from __future__ import annotations

import math
import platform
import struct
from fractions import Fraction
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from portnorm.exact.machine.compilation import part
from portnorm.exact.machine.target import instruction

HALF, BFLOAT16 = np.uint16, np.int16
"""What the arrays of a kernel hold for float16 and for bfloat16."""


# --- fused multiply-add --------------------------------------------------------------------------


def fused_multiply_add(a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once. Scalars or arrays of one of float32 and float64."""
    if isinstance(a, np.ndarray):
        terms = zip(a, np.broadcast_to(b, a.shape), np.broadcast_to(c, a.shape), strict=True)
        return np.array([fused_multiply_add(*term) for term in terms], a.dtype)
    rounded = a * b + c
    if not (math.isfinite(a) and math.isfinite(b)):
        return rounded
    if not math.isfinite(c):
        return c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    # Where the exact value is 0, so is every rounding error, and the sign is that of the plain sum.
    return round_fraction(exact, type(a)) if exact else rounded


def round_fraction(value: Fraction, kind: type[Any]) -> Any:
    """Return a value other than 0 rounded to float32 or float64, ties to even."""
    digits, smallest = (24, -149) if kind is np.float32 else (53, -1074)
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    unit = Fraction(2) ** max(exponent - digits + 1, smallest)
    steps = round(magnitude / unit)  # Fraction rounds ties to even
    try:
        result = math.ldexp(steps, unit.numerator.bit_length() - unit.denominator.bit_length())
    except OverflowError:
        result = math.inf
    with np.errstate(over="ignore"):
        return kind(result if value > 0 else -result)


@instruction(fused_multiply_add)
def _fma(a: Any, b: Any, c: Any) -> Any:
    if a not in (types.float32, types.float64) and not hasattr(a, "lanes"):
        return None

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        many = isinstance(kind, ir.VectorType)
        bits = 32 if (kind.element if many else kind) == ir.FloatType() else 64
        name = f"llvm.fma.v{kind.count}f{bits}" if many else f"llvm.fma.f{bits}"
        fma = ir.FunctionType(kind, [kind] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, fma, name), arguments)

    return a(a, a, a), generate


# --- half types ----------------------------------------------------------------------------------


def widen(value: Any) -> Any:
    """Return a stored number, or an array of them, in the type in which it is computed with."""
    if value.dtype == HALF:
        return value.view(np.float16).astype(np.float32)
    if value.dtype == BFLOAT16:
        return (value.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return value


def narrow(value: Any, stored: Any) -> Any:
    """Return a number rounded to what the array `stored` holds, ties to even."""
    if stored.dtype == HALF:
        with np.errstate(over="ignore"):
            return np.float32(value).astype(np.float16).view(HALF)
    if stored.dtype == BFLOAT16:
        if math.isnan(value):
            return BFLOAT16(0x7FC0)
        (bits,) = struct.unpack("I", struct.pack("f", value))
        bits += 0x7FFF + ((bits >> 16) & 1)
        return np.uint16(bits >> 16).view(BFLOAT16)
    return value


def rounded(value: Any, stored: Any) -> Any:
    """Return a number rounded to what the array `stored` holds, ready to compute with."""
    return widen(narrow(value, stored))


_I16, _I32 = ir.IntType(16), ir.IntType(32)


def widen_value(builder: Any, value: Any, kind: Any) -> Any:
    """Generate the instructions that turn i16 (one or lanes) into float."""
    many = isinstance(value.type, ir.VectorType)

    def lanes(element: Any) -> Any:
        return ir.VectorType(element, value.type.count) if many else element

    if kind == types.uint16:
        return builder.fpext(builder.bitcast(value, lanes(ir.HalfType())), lanes(ir.FloatType()))
    bits = builder.zext(value, lanes(_I32))
    shift = ir.Constant(_I32, 16)
    if many:
        shift = ir.Constant(lanes(_I32), [16] * value.type.count)
    return builder.bitcast(builder.shl(bits, shift), lanes(ir.FloatType()))


@instruction(widen)
def _widen(value: Any) -> Any:
    half = value in (types.uint16, types.int16)

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return widen_value(builder, arguments[0], value) if half else arguments[0]

    return (types.float32 if half else value)(value), generate


def narrow_value(builder: Any, value: Any) -> Any:
    """Generate the instructions that turn float (one or lanes) into the i16 of a float16."""
    if isinstance(value.type, ir.VectorType):
        half, bits = (ir.VectorType(kind, value.type.count) for kind in (ir.HalfType(), _I16))
    else:
        half, bits = ir.HalfType(), _I16
    return builder.bitcast(builder.fptrunc(value, half), bits)


def _bfloat16_value(builder: Any, value: Any) -> Any:
    """Generate the instructions that turn a float into the i16 of a bfloat16."""
    bits = builder.bitcast(value, _I32)
    upper = builder.lshr(bits, ir.Constant(_I32, 16))
    odd = builder.and_(upper, ir.Constant(_I32, 1))
    tie = builder.add(odd, ir.Constant(_I32, 0x7FFF))
    half = builder.lshr(builder.add(bits, tie), ir.Constant(_I32, 16))
    nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(nan, ir.Constant(_I32, 0x7FC0), half), _I16)


@instruction(narrow)
def _narrow(value: Any, stored: Any) -> Any:
    half = stored.dtype in (types.uint16, types.int16)

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        if stored.dtype == types.uint16:
            return narrow_value(builder, arguments[0])
        return _bfloat16_value(builder, arguments[0]) if half else arguments[0]

    return (stored.dtype(types.float32, stored) if half else value(value, stored)), generate


@instruction(rounded)
def _rounded(value: Any, stored: Any) -> Any:
    half = stored.dtype in (types.uint16, types.int16)
    narrowed, narrow_one = _narrow(value, stored)

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        stored_value = narrow_one(context, builder, arguments)
        return widen_value(builder, stored_value, stored.dtype) if half else stored_value

    return (types.float32 if half else value)(*narrowed.args), generate


def computed(value: float, stored: Any) -> Any:
    """Return a float64 in the type in which elements of `stored` are computed with."""
    return widen(stored[:1]).dtype.type(value)


@instruction(computed)
def _computed(value: Any, stored: Any) -> Any:
    double = stored.dtype == types.float64

    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        return arguments[0] if double else builder.fptrunc(arguments[0], ir.FloatType())

    return (types.float64 if double else types.float32)(types.float64, stored), generate


def square_root(value: Any) -> Any:
    """Return the root of a float32 or float64, rounded to that type."""
    return np.sqrt(value)


@instruction(square_root)
def _square_root(value: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        name = f"llvm.sqrt.{kind.intrinsic_name}"
        root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(root, arguments)

    return value(value), generate


def smallest_normal(stored: Any) -> float:
    """Return the smallest number that is not subnormal of float32 or float64."""
    return 2.0**-1022 if stored.dtype == np.float64 else 2.0**-126


@instruction(smallest_normal)
def _smallest_normal(stored: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        smallest = 2.0**-1022 if stored.dtype == types.float64 else 2.0**-126
        return context.get_constant(types.float64, smallest)

    return types.float64(stored), generate


@part
def flushed(value: Any, stored: Any) -> Any:
    """Return a number of float32 or float64; subnormals become 0 of the same sign."""
    return value * np.float32(0) if abs(value) < smallest_normal(stored) else value


# --- the floating-point environment --------------------------------------------------------------


def enter_default_environment() -> int:
    """Round to nearest and keep subnormals, in this thread; return what was in force before.

    Threads of MindSpore's pool run with flush-to-zero on. Plain Python leaves all as it is.
    """
    return 0


def after_entering(value: float) -> float:
    """Return a float64 that is not computed with before the environment is entered.

    A compiler sees no reason not to round an argument of a kernel before that.
    """
    return value


def leave_default_environment(previous: int) -> None:
    """Put the environment back."""


_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
_ARM = platform.machine().lower() in ("aarch64", "arm64")
_DEFAULT_ENVIRONMENT = 0x1F80 if _X86 else 0  # MXCSR: all exceptions masked; FPCR: 0
_WORD = ir.IntType(32 if _X86 else 64)


def _read_control(builder: Any) -> Any:
    if _ARM:
        read = ir.InlineAsm(ir.FunctionType(_WORD, []), "mrs $0, fpcr", "=r,~{memory}", True)
        return builder.call(read, [])
    if not _X86:
        return ir.Constant(_WORD, 0)
    slot = cgutils.alloca_once(builder, _WORD)
    _call_on_slot(builder, "llvm.x86.sse.stmxcsr", slot)
    return builder.load(slot)


def _write_control(builder: Any, word: Any) -> None:
    if _ARM:
        kind = ir.FunctionType(ir.VoidType(), [_WORD])
        builder.call(ir.InlineAsm(kind, "msr fpcr, $0", "r,~{memory}", True), [word])
    elif _X86:
        slot = cgutils.alloca_once(builder, _WORD)
        builder.store(word, slot)
        _call_on_slot(builder, "llvm.x86.sse.ldmxcsr", slot)
    # Neither loads nor stores may be moved across this point.
    barrier = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", True)
    builder.call(barrier, [])


def _call_on_slot(builder: Any, name: str, slot: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte]), name
    )
    builder.call(function, [builder.bitcast(slot, byte)])


@instruction(enter_default_environment)
def _enter() -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        previous = _read_control(builder)
        _write_control(builder, ir.Constant(_WORD, _DEFAULT_ENVIRONMENT))
        return builder.zext(previous, ir.IntType(64)) if _X86 else previous

    return types.int64(), generate


@instruction(leave_default_environment)
def _leave(previous: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        word = builder.trunc(arguments[0], _WORD) if _X86 else arguments[0]
        # What the work stored must have been computed before.
        barrier = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", True)
        builder.call(barrier, [])
        _write_control(builder, word)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@instruction(after_entering)
def _after_entering(value: Any) -> Any:
    def generate(context: Any, builder: Any, arguments: Any) -> Any:
        if not (_X86 or _ARM):
            return arguments[0]
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()])
        register = "=x,0" if _X86 else "=w,0"
        return builder.call(ir.InlineAsm(kind, "", f"{register},~{{memory}}", True), arguments)

    return types.float64(types.float64), generate
