"""A TFLite network on one or more threads, and the surgery that custom operators need.

The runtime is imported on first use: a face is animated without any network.
"""

from __future__ import annotations

import re
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


class Graph:
    """A model file taken apart, from which runnable parts can be cut.

    Raises:
        Unavailable: the file is not a TFLite model.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._content = path.read_bytes()
        if self._content[4:8] != b"TFL3":
            raise Unavailable(f"{path.name} is not a TFLite model", hint=_REPAIR)
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(self._content, 0))
        self._graph = self._model.subgraphs[0]
        self._nodes = list(self._graph.operators)
        self._buffers = [buffer.data for buffer in self._model.buffers]
        self.inputs = tuple(int(t) for t in self._graph.inputs)
        self.outputs = tuple(int(t) for t in self._graph.outputs)
        self._producer = {int(t): node for node in self._nodes for t in node.outputs}
        self._number = {tensor.name.decode(): i for i, tensor in enumerate(self._graph.tensors)}

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
            name = self._model.operatorCodes[node.opcodeIndex].customCode
            if name:
                raw = node.customOptions
                options = {} if raw is None else flexbuffers.Loads(bytes(raw))
                inputs, outputs = (tuple(int(t) for t in tensors) for tensors in (node.inputs, node.outputs))
                found.append(CustomOperator(name.decode(), inputs, outputs, options))
        return found

    def constant(self, tensor: int) -> NDArray[np.float32]:
        """The value of a tensor that is stored in the file, float32, also where it is stored in 16 bits."""
        from ai_edge_litert import schema_py_generated as schema

        producer = self._producer.get(tensor)
        stored = self._graph.tensors[tensor if producer is None else int(producer.inputs[0])]
        kind = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}[stored.type]
        return np.frombuffer(bytes(self._buffers[stored.buffer]), kind).reshape(stored.shape).astype(np.float32)

    def whole(self, outputs: Sequence[int], threads: int = 1) -> Network:
        """The model as it is."""
        return Network(self._content, inputs=self.inputs, outputs=outputs, threads=threads)

    def part(self, inputs: Sequence[int], outputs: Sequence[int], threads: int = 1) -> Network:
        """The nodes between some tensors, as a network of their own."""
        import flatbuffers

        graph = self._graph
        needed = self._nodes_between(set(inputs), outputs)
        graph.operators = [node for node in self._nodes if id(node) in needed]
        graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        used = {int(t) for node in graph.operators for t in (*node.inputs, *node.outputs) if t >= 0}
        kept = {graph.tensors[t].buffer for t in used.union(inputs, outputs)}
        for number, (buffer, data) in enumerate(zip(self._model.buffers, self._buffers, strict=True)):
            buffer.data = data if number in kept else None
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return Network(bytes(builder.Output()), inputs=inputs, outputs=outputs, threads=threads)

    def _nodes_between(self, inputs: Collection[int], outputs: Sequence[int]) -> set[int]:
        needed: set[int] = set()
        waiting = list(outputs)
        while waiting:
            tensor = waiting.pop()
            node = self._producer.get(tensor)
            if node is None or tensor in inputs or id(node) in needed:
                continue
            needed.add(id(node))
            waiting += [int(t) for t in node.inputs if t >= 0]
        return needed
