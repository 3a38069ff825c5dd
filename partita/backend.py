"""The kernels as a standard ONNX backend, so that tools and tests written for `onnx.backend.base` run on them.

Each operator is computed as the model has it: nothing is folded, fused or placed.

from partita import backend

outputs = backend.run_model(onnx.load("model.onnx"), [image])
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, version_converter
from onnx.backend import base

import partita.kernels  # noqa: F401  (registers every kernel)
from partita.errors import ModelError
from partita.graph.dtypes import name_of_numpy, name_of_onnx, numpy_of_name, onnx_of_name
from partita.graph.functions import without_functions
from partita.graph.ir import Graph
from partita.graph.onnx_import import OLDEST_OPSET, from_proto
from partita.kernels.executor import run
from partita.kernels.registry import has_kernel


class PreparedModel(base.BackendRep):
    """A model that can be run; its open dimensions get the sizes of the inputs that it is run on."""

    def __init__(self, model: onnx.ModelProto) -> None:
        weights = {tensor.name for tensor in model.graph.initializer}
        given = [i for i in model.graph.input if i.name not in weights]
        self.model = model
        self.inputs = tuple(i.name for i in given)
        self._element_types = {
            i.name: i.type.tensor_type.elem_type for i in given if i.type.WhichOneof("value") == "tensor_type"
        }
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._graph: Graph | None = None

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The model's outputs in their order; they can also be asked for by name.

        `inputs` are by name, or in the order of the model's inputs without those that are initialisers. A sequence is
        a list of arrays, an optional that holds nothing is None.
        """
        feeds = self._feeds(inputs)
        graph = self._graph_for({name: feeds[name].shape for name in self._element_types if name in feeds})
        results = run(graph, feeds)
        return base.namedtupledict("Outputs", tuple(results))(*results.values())

    def _feeds(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            return {name: self._as_value(name, x) for name, x in inputs.items()}
        given = inputs if isinstance(inputs, list | tuple) else [inputs]
        if len(given) != len(self.inputs):
            names = ", ".join(self.inputs) or "none"
            raise ModelError(f"{len(given)} inputs were given, but the model has {len(self.inputs)}: {names}")
        return {name: self._as_value(name, x) for name, x in zip(self.inputs, given, strict=True)}

    def _as_value(self, name: str, x: Any) -> Any:
        """What is given for a tensor as an array, of the tensor's dtype if it has none of its own."""
        if name not in self._element_types or isinstance(x, np.ndarray | np.generic):
            return _as_array(x)
        if x is None:
            raise ModelError(f"input {name!r} must be a tensor, nothing was given")
        try:
            return np.asarray(x, numpy_of_name(name_of_onnx(self._element_types[name])))
        except (TypeError, ValueError) as error:
            raise ModelError(f"input {name!r} must be a tensor: {error}") from None

    def _graph_for(self, shapes: dict[str, tuple[int, ...]]) -> Graph:
        """The model with inputs of these shapes; read again only if they changed."""
        if self._graph is None or self._shapes != shapes:
            self._graph, self._shapes = from_proto(self.model, shapes), shapes
        return self._graph


def _as_array(x: Any) -> Any:
    """Numpy scalars as arrays; text as objects; sequences as lists of arrays; None as it is."""
    if isinstance(x, list | tuple):
        return [_as_array(element) for element in x]
    if x is None:
        return None
    array = np.asarray(x)
    return array.astype(object) if array.dtype.kind in "US" else array


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, brought to the oldest opset that can be read if it is older."""
    if all(_domain(entry.domain) or entry.version >= OLDEST_OPSET for entry in model.opset_import):
        return model
    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"the model is older than opset {OLDEST_OPSET} and cannot be converted: {error}") from None


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _with_regions(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _with_regions(attribute.g.node)


def _info(name: str, x: Any) -> onnx.ValueInfoProto:
    """The type of an input, as its value has it."""
    if isinstance(x, list):
        element = onnx_of_name(name_of_numpy(x[0].dtype)) if x else onnx.TensorProto.FLOAT
        return helper.make_tensor_sequence_value_info(name, element, None)
    return helper.make_tensor_value_info(name, onnx_of_name(name_of_numpy(x.dtype)), x.shape)


class Backend(base.Backend):
    """`onnx.backend.base.Backend` over the numpy kernels; its one device is the CPU."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator of the model has a kernel at the model's opset."""
        if not cls.supports_device(device):
            return False
        try:
            plain = without_functions(_modern(model))
        except ModelError:
            return False
        opsets = {_domain(entry.domain): entry.version for entry in plain.opset_import}
        return all(
            node.op_type == "Constant"
            or has_kernel(node.op_type, _domain(node.domain), opsets.get(_domain(node.domain), 0))
            for node in _with_regions(plain.graph.node)
        )

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> PreparedModel:
        """The model, ready to be run on any inputs that fit it."""
        if not cls.supports_device(device):
            raise ModelError(f"device {device!r} is not known; the kernels run on 'CPU'")
        return PreparedModel(_modern(model))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """The model's outputs on `inputs`; see PreparedModel.run."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """One operator's outputs, at opset `opset_version` or the newest.

        `inputs` are by name, or in the operator's order, an absent one as None or left out; see PreparedModel.run.
        """
        names = tuple(dict.fromkeys(name for name in node.input if name))
        if not isinstance(inputs, Mapping):
            given = list(inputs)
            present = [n for n in node.input if n] if len(given) < len(node.input) else node.input
            inputs = dict(zip(present, given, strict=False))
        feeds = {name: _as_array(inputs[name]) for name in names if inputs.get(name) is not None}
        absent = onnx.NodeProto()
        absent.CopyFrom(node)
        absent.input[:] = [name if name in feeds else "" for name in node.input]
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version() if not _domain(node.domain) else 1)
        graph = helper.make_graph(
            [absent],
            node.name or node.op_type,
            [_info(name, x) for name, x in feeds.items()],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, version)])
        return cls.run_model(model, feeds, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device.split(":")[0] == "CPU"


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
