"""A TFLite network on one or more threads, and the surgery that custom operators need.

The runtime is imported on first use: a face is animated without any network.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarctl.errors import Unavailable
from avatarctl.media.native import without_chatter

_RUNTIME_CHATTER = re.compile(rb"TensorFlow Lite|XNNPACK|^(INFO|WARNING): ")
_REPAIR = "avatarctl models verify, then avatarctl models pull"
_INPUTS, _OUTPUTS, _OPERATORS = 6, 8, 10
"""Of a `SubGraph` in TFLite's schema: where a FlatBuffers table keeps these fields."""


class Network:
    """An interpreter with its tensors in the order given at construction."""

    def __init__(self, content: bytes, *, inputs: Sequence[int], outputs: Sequence[int], threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._content, self._threads = content, threads
        with without_chatter(_RUNTIME_CHATTER):
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)

    def twin(self) -> Network:
        """The same network for another thread, without the work of taking a model file apart again."""
        return Network(self._content, inputs=self._inputs, outputs=self._outputs, threads=self._threads)

    def __call__(self, *values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run once. Values and results keep the network's own shapes (batch of one), float32."""
        for index, value in zip(self._inputs, values, strict=True):
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@dataclass(frozen=True, slots=True)
class CustomOperator:
    """A node that the runtime does not know. `inputs` and `outputs` are tensor numbers."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Node:
    """`table`: the operator in the file, as FlatBuffers reads it."""

    table: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Graph:
    """A model file, from which runnable parts can be cut.

    Nothing of it is unpacked: a part is a copy of the file whose lists of operators, inputs and outputs say less. That
    takes a hundredth of the time of building the file anew, and what nobody reads in it does no harm.

    Raises:
        Unavailable: the file is not a TFLite model.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._content = path.read_bytes()
        if self._content[4:8] != b"TFL3":
            raise Unavailable(f"{path.name} is not a TFLite model", hint=_REPAIR)
        self._model = schema.Model.GetRootAs(self._content, 0)
        self._graph = self._model.Subgraphs(0)
        nodes = [self._graph.Operators(i) for i in range(self._graph.OperatorsLength())]
        self._nodes = [_Node(node, _numbers(node.InputsAsNumpy()), _numbers(node.OutputsAsNumpy())) for node in nodes]
        self.inputs, self.outputs = (_numbers(v) for v in (self._graph.InputsAsNumpy(), self._graph.OutputsAsNumpy()))
        self._producer = {tensor: number for number, node in enumerate(self._nodes) for tensor in node.outputs}
        names = (self._graph.Tensors(i).Name() for i in range(self._graph.TensorsLength()))
        self._number = {name.decode(): i for i, name in enumerate(names)}

    def tensor(self, name: str) -> int:
        """The number of the tensor of that name."""
        try:
            return self._number[name]
        except KeyError:
            raise Unavailable(f"the face model has no tensor {name!r}", hint=_REPAIR) from None

    def custom_operators(self) -> list[CustomOperator]:
        """In the order of the file, with their options decoded."""
        from flatbuffers import flexbuffers

        found = []
        for node in self._nodes:
            name = self._model.OperatorCodes(node.table.OpcodeIndex()).CustomCode()
            if name:
                length = node.table.CustomOptionsLength()
                options = flexbuffers.Loads(node.table.CustomOptionsAsNumpy().tobytes()) if length else {}
                found.append(CustomOperator(name.decode(), node.inputs, node.outputs, options))
        return found

    def constant(self, tensor: int) -> NDArray[np.float32]:
        """The value of a tensor that is stored in the file, float32, also where it is stored in 16 bits."""
        from ai_edge_litert import schema_py_generated as schema

        producer = self._producer.get(tensor)
        stored = self._graph.Tensors(tensor if producer is None else self._nodes[producer].inputs[0])
        kind = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}[stored.Type()]
        values = self._model.Buffers(stored.Buffer()).DataAsNumpy().view(kind)
        return np.asarray(values.reshape(stored.ShapeAsNumpy()).astype(np.float32))

    def whole(self, outputs: Sequence[int], threads: int = 1) -> Network:
        """The model as it is."""
        return Network(self._content, inputs=self.inputs, outputs=outputs, threads=threads)

    def part(self, inputs: Sequence[int], outputs: Sequence[int], threads: int = 1) -> Network:
        """The nodes between some tensors, as a network of their own."""
        content = bytearray(self._content)
        # A list is its length and then, for each node, how far behind this very place it lies.
        start = self._field(_OPERATORS) + 4 + self._offset(self._field(_OPERATORS))
        needed = sorted(self._nodes_between(set(inputs), outputs))
        struct.pack_into("<I", content, start - 4, len(needed))
        for place, number in enumerate(needed):
            at = start + 4 * place
            struct.pack_into("<I", content, at, self._nodes[number].table._tab.Pos - at)
        # New lists go to the end: everything lies behind what refers to it.
        content += bytes(-len(content) % 4)
        for field, tensors in ((_INPUTS, inputs), (_OUTPUTS, outputs)):
            struct.pack_into("<I", content, self._field(field), len(content) - self._field(field))
            content += struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors)
        return Network(bytes(content), inputs=inputs, outputs=outputs, threads=threads)

    def _field(self, slot: int) -> int:
        """Where the file says how far away one of the graph's lists is."""
        table = self._graph._tab
        return int(table.Pos + table.Offset(slot))

    def _offset(self, at: int) -> int:
        (offset,) = struct.unpack_from("<I", self._content, at)
        return int(offset)

    def _nodes_between(self, inputs: Collection[int], outputs: Sequence[int]) -> set[int]:
        needed: set[int] = set()
        waiting = list(outputs)
        while waiting:
            tensor = waiting.pop()
            number = self._producer.get(tensor)
            if number is None or tensor in inputs or number in needed:
                continue
            needed.add(number)
            waiting += [t for t in self._nodes[number].inputs if t >= 0]
        return needed


def _numbers(values: Any) -> tuple[int, ...]:
    """Of a list in the file; one that is not there is the number 0 instead."""
    return tuple(int(value) for value in values) if isinstance(values, np.ndarray) else ()
