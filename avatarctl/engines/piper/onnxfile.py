"""A voice's ONNX file, changed in memory: noise becomes an input, the lengths of sounds an output.

As they are published, voices draw their noise from a generator inside of the session, whose state runs on from call to
call: a sentence would sound different after another one, and a session of its own for each costs several times what
speaking does. And they keep to themselves how long each sound is, which they have to know. Both are mended by a few
bytes of the graph. ONNX is a protocol buffer, whose encoding is simple enough to be read and written here
(https://protobuf.dev/programming-guides/encoding, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

POOL = 1 << 20
"""Values of noise that a call gets for each place; longer needs begin again."""

# Numbers of fields in onnx.proto.
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_NAME, _TYPE = 1, 2
_FLOAT, _INT64 = 1, 7
_BYTES = 2
_WIDTHS = {1: 8, 5: 4}
_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"})


@dataclass(frozen=True)
class Changed:
    """A model for onnxruntime. `noise`: names of the inputs for it, float32 (POOL,); `lengths`: the output with the
    number of frames of each phoneme id, empty if the model has no such place."""

    model: bytes
    noise: tuple[str, ...]
    lengths: str


def changed(model: bytes) -> Changed:
    """Raises `ValueError` for what is no ONNX model, or draws noise in a way that is not known here."""
    view = memoryview(model)
    graphs = [(start, value, end) for number, start, value, end in fields(view) if number == _GRAPH]
    if len(graphs) != 1:
        raise ValueError("it holds no graph")
    start, value, end = graphs[0]
    graph = view[value:end]
    pieces: list[bytes | memoryview] = []
    noise: list[str] = []
    lengths: list[str] = []
    outputs = 0
    for number, at, inside, behind in fields(graph):
        node = _node(graph[inside:behind]) if number == _NODE else None
        outputs += number == _OUTPUT
        if node is not None and node.op == "Ceil":
            lengths.append(node.outputs[0])
        if node is not None and (node.op in _RANDOM or (node.op == "RandomNormalLike" and not node.plain)):
            raise ValueError(f"it draws chance by {node.op}")
        if node is not None and node.op == "RandomNormalLike":
            noise.append(f"avatarctl.noise.{len(noise)}")
            pieces.append(_drawn(noise[-1], node.inputs[0], node.outputs[0]))
        else:
            pieces.append(graph[at:behind])
    if noise:
        pieces += [_scalar(name, number) for name, number in _CONSTANTS.items()]
        pieces += [message(_INPUT, _float_vector(name)) for name in noise]
    # A voice that was patched by Piper's own tool gives them already.
    length = lengths[0] if len(lengths) == 1 else ""
    if length and outputs == 1:
        pieces.append(message(_OUTPUT, text(_NAME, length)))
    inner = b"".join(pieces)
    made = b"".join((view[:start], message(_GRAPH, inner), view[end:]))
    return Changed(made, tuple(noise), length)


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: list[str]
    outputs: list[str]
    plain: bool
    """No mean, spread or seed of its own."""


def _node(data: memoryview) -> _Node:
    op, inputs, outputs, plain = "", [], [], True
    for number, _, value, end in fields(data):
        if number == _NODE_OP:
            op = str(data[value:end], "utf-8")
        elif number == _NODE_INPUT:
            inputs.append(str(data[value:end], "utf-8"))
        elif number == _NODE_OUTPUT:
            outputs.append(str(data[value:end], "utf-8"))
        elif number == _NODE_ATTRIBUTE:
            attribute = data[value:end]
            names = [str(attribute[v:e], "utf-8") for n, _, v, e in fields(attribute) if n == _NAME]
            plain = plain and names == ["dtype"]
    return _Node(op, inputs, outputs, plain)


_CONSTANTS = {"avatarctl.0": 0, "avatarctl.1": 1, "avatarctl.pool": POOL}


def _drawn(noise: str, like: str, made: str) -> bytes:
    """Nodes that take as many values from `noise` as `like` has, over and over, and give them its shape."""
    zero, one, pool = _CONSTANTS
    return b"".join(
        (
            node("Size", [like], f"{noise}.count"),
            node("Range", [zero, f"{noise}.count", one], f"{noise}.order"),
            node("Mod", [f"{noise}.order", pool], f"{noise}.places"),
            node("Gather", [noise, f"{noise}.places"], f"{noise}.flat"),
            node("Shape", [like], f"{noise}.shape"),
            node("Reshape", [f"{noise}.flat", f"{noise}.shape"], made),
        )
    )


def _float_vector(name: str) -> bytes:
    """A ValueInfoProto: `name`, a tensor of float32 with one dimension of `POOL`."""
    dimension = message(1, varint(1 << 3) + varint(POOL))
    tensor = varint(1 << 3) + varint(_FLOAT) + message(2, dimension)
    return text(_NAME, name) + message(_TYPE, message(1, tensor))


def _scalar(name: str, number: int) -> bytes:
    """An initializer: a TensorProto of int64 without dimensions."""
    return message(
        _INITIALIZER, varint(2 << 3) + varint(_INT64) + text(8, name) + message(9, struct.pack("<q", number))
    )


# -- the encoding of protocol buffers


def node(op: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    """A field of a graph: one NodeProto with one output. `attributes`: fields as they are."""
    named = b"".join(text(_NODE_INPUT, name) for name in inputs) + text(_NODE_OUTPUT, output)
    return message(_NODE, named + text(_NODE_NAME, f"{op} of {output}") + text(_NODE_OP, op) + attributes)


def message(number: int, data: bytes) -> bytes:
    """A field that holds another message, or plain bytes."""
    return varint(number << 3 | _BYTES) + varint(len(data)) + data


def text(number: int, value: str) -> bytes:
    """A field that holds text."""
    return message(number, value.encode())


def varint(value: int) -> bytes:
    """A number of up to 64 bits, seven bits a byte."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(made) + bytes([value])


def fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Number, begin, begin of the value and end of each field. Raises `ValueError` where the bytes are no message."""
    at = 0
    while at < len(data):
        start = at
        key, at = _varint_at(data, at)
        kind = key & 7
        if kind == _BYTES:
            length, at = _varint_at(data, at)
            end = at + length
        elif kind == 0:
            _, end = _varint_at(data, at)
        elif kind in _WIDTHS:
            end = at + _WIDTHS[kind]
        else:
            raise ValueError("it is no protocol buffer")
        if end > len(data):
            raise ValueError("it ends too early")
        yield key >> 3, start, at, end
        at = end


def _varint_at(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no protocol buffer")
