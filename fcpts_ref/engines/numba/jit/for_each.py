"""Loops whose passes the threads share, with one pass as a function of its own.

Numba's ``prange`` makes three functions of a loop and compiles what a pass does in each of them,
and in the function around it: four times.  Here one ``prange`` serves all kernels.  It divides the
passes into ranges and calls, by its address, a function that runs one range.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from fcpts_ref.engines.numba.jit.capture import captured
from fcpts_ref.engines.numba.jit.compilation import compiled_parallel
from fcpts_ref.engines.numba.tuning import THREAD_RANGES

NUMBER, INDEX = ir.IntType(64), ir.IntType(32)
BYTES = ir.IntType(8).as_pointer()
PASSES = ir.FunctionType(ir.VoidType(), [BYTES, NUMBER, NUMBER])  # of the arguments, first, last


@intrinsic
def call_passes(typing: Any, address: Any, data: Any, first: Any, last: Any) -> Any:
    """Call the PASSES at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, data, *ends = args
        function = builder.inttoptr(address, PASSES.as_pointer())
        builder.call(function, [builder.inttoptr(data, BYTES), *ends])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


@intrinsic
def count_threads(typing: Any) -> Any:
    """``numba.get_num_threads()``, which cannot be kept on disk: it is called by address there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(NUMBER, [])
        name = "get_num_threads"  # as prange itself calls it
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])

    return types.intp(), generate


@compiled_parallel
def share_passes(count: int, address: int, data: int, size: int) -> None:
    """The loop of all kernels, unless it is captured (``jit.capture``); size: bytes of the data.

    One thread needs no library that shares the work.
    """
    if captured(count, address, data, size):
        pass
    elif count_threads() == 1:
        call_passes(address, data, 0, count)
    else:
        ranges = min(count, THREAD_RANGES)
        for i in prange(ranges):
            call_passes(address, data, i * count // ranges, (i + 1) * count // ranges)


@intrinsic
def for_each(typing: Any, count: Any, function: Any, *arguments: Any) -> Any:
    """function(item, *arguments) for item = 0, 1, ... count - 1, shared among the threads.

    function: a ``compiled_part`` that returns nothing and has no ``for_each`` of its own.  Raises
    what one of its calls raises; all others are made.
    """
    one = typing.resolve_function_type(function, (types.intp, *map(types.unliteral, arguments)), {})
    share = types.Dispatcher(share_passes)
    shared = typing.resolve_function_type(share, (types.intp,) * 4, {})

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = cgutils.unpack_tuple(builder, args[2], len(arguments))
        common = [INDEX(0), cgutils.get_null_value(BYTES), *values]
        kinds = [value.type for value in common]
        data = cgutils.alloca_once(builder, ir.LiteralStructType(kinds))
        code, error, *_ = places = _fields(builder, data)
        for value, place in zip(common, places, strict=True):
            builder.store(value, place)
        passes, status = _passes(context, builder.module, function.dispatcher, one, data.type)
        pointers = [builder.ptrtoint(pointer, NUMBER) for pointer in (passes, data)]
        size = cgutils.sizeof(builder, data.type)
        context.get_function(share, shared)(builder, [args[0], *pointers, size])
        failed = builder.load(code)
        with builder.if_then(cgutils.is_not_null(builder, failed), likely=False):
            raised = builder.bitcast(builder.load(error), status.excinfoptr.type)
            status = status._replace(code=failed, excinfoptr=raised)
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(types.intp, function, types.StarArgTuple.from_types(arguments)), generate


def _passes(context: Any, module: Any, dispatcher: Any, one: Any, data: Any) -> Any:
    """PASSES of a function with this signature, and the status of a pass.

    data: type of a pointer to (0, null, the other arguments); instead of the 0 and the null come
    Numba's number for an error and what it knows of it.  A pass that is short would take longer to
    call than to do, so it is inlined.
    """
    result = dispatcher.get_compile_result(one)
    context.add_linking_libs([result.library])
    callee = context.declare_function(module, result.fndesc)
    name = module.get_unique_name(f"{result.fndesc.llvm_func_name}.passes")
    passes = ir.Function(module, PASSES, name)
    passes.linkage = "internal"
    builder = ir.IRBuilder(passes.append_basic_block())
    code, error, *places = _fields(builder, builder.bitcast(passes.args[0], data))
    values = [
        _not_counted(context, builder, kind, builder.load(place))
        for kind, place in zip(one.args[1:], places, strict=True)
    ]
    with cgutils.for_range_slice(builder, *passes.args[1:], NUMBER(1)) as (item, _):
        status, _ = context.call_conv.call_function(
            builder, callee, types.none, one.args, [item, *values], attrs=("alwaysinline",)
        )
        with builder.if_then(status.is_error, likely=False):
            builder.store(status.code, code)
            builder.store(builder.bitcast(status.excinfoptr, BYTES), error)
    builder.ret_void()
    return passes, status


def _not_counted(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """The argument, with its arrays without their reference counts.

    Whoever called ``for_each`` keeps the arrays alive.  Atomic reference counting would make the
    threads contend.
    """
    if isinstance(kind, types.BaseTuple):
        fields = cgutils.unpack_tuple(builder, value, kind.count)
        fields = [
            _not_counted(context, builder, *pair) for pair in zip(kind.types, fields, strict=True)
        ]
        return context.make_tuple(builder, kind, fields)
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    array.parent = cgutils.get_null_value(array.parent.type)
    return array._getvalue()


def _fields(builder: Any, data: Any) -> list[Any]:
    """Pointers to the fields of a structure."""
    count = len(data.type.pointee.elements)
    return [builder.gep(data, [INDEX(0), INDEX(i)]) for i in range(count)]


def _one_after_the_other(count: int, function: Any, *arguments: Any) -> None:
    for item in range(count):
        function(item, *arguments)


if numba.config.DISABLE_JIT:
    for_each = _one_after_the_other
else:
    # Has Numba load what shares the work out.  Kernels from disk need it, and Numba sees to it only
    # for a function that was compiled with a loop of its own.
    numba.get_num_threads()
