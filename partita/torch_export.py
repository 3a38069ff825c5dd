"""PyTorch modules as graphs: exported to ONNX and loaded in one call. Needs the extra `torch`."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from partita.errors import ModelError

if TYPE_CHECKING:
    import onnx

    from partita.graph.ir import Graph

NEEDED = ("torch", "onnxscript")
Dynamic = Mapping[str, Mapping[int, str]]
"""Per argument of `forward` the names of the dimensions that stay open, by axis."""
SUMMARY = "## Exception summary"
"""The heading in torch's message beneath which the cause stands."""


def from_torch(
    module: Any,
    example_inputs: Any,
    dynamic: Dynamic | None = None,
    *,
    shapes: Mapping[str, int | tuple[int, ...]] | None = None,
    path: str | Path | None = None,
) -> "Graph":
    """The graph of a `torch.nn.Module`, as `load` gives that of an ONNX file: every shape known, ready to be placed.

    `example_inputs` are what `forward` takes: a tensor, a tuple, or a mapping of keyword arguments. Dimensions that
    `dynamic` names (`{"tokens": {1: "sequence"}}`) stay open in the ONNX model and have here the sizes of the examples,
    or those of `shapes`. The module is exported in evaluation mode. With a `path` the ONNX file is kept there, its
    weights beside it; without one there is no file, so that a plan of the graph cannot be saved.

    Raises ModelError if torch or onnxscript are not installed, or if torch cannot export the module.
    """
    _check_installed()
    arguments, keywords = _arguments(example_inputs)
    program = _exported(module, arguments, keywords, dynamic or {})
    sizes = {**_example_sizes(program.model_proto, (*arguments, *keywords.values())), **(shapes or {})}
    if path is not None:
        return _loaded(program, Path(path), sizes)
    with TemporaryDirectory() as folder:
        return replace(_loaded(program, Path(folder) / "model.onnx", sizes), source=None)


def _check_installed() -> None:
    for name in NEEDED:
        if find_spec(name) is None:
            raise ModelError(f"from_torch needs {name}, which is not installed; install partita[torch]")


def _arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, tuple | list):
        return tuple(example_inputs), {}
    return (example_inputs,), {}


def _exported(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], dynamic: Dynamic) -> Any:
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"from_torch takes a torch.nn.Module, not a {type(module).__name__}")
    open_dims = _dynamic_shapes(module, arguments, keywords, dynamic) if dynamic else None
    with _evaluating(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own parts to each other
        try:
            return torch.onnx.export(
                module, arguments, kwargs=keywords, dynamo=True, dynamic_shapes=open_dims, verbose=False
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(f"torch cannot export {type(module).__name__}: {_cause(str(error))}") from error


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """The module in evaluation mode; afterwards each of its parts is in the mode in which it was."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _dynamic_shapes(
    module: Any, arguments: Sequence[Any], keywords: Mapping[str, Any], dynamic: Dynamic
) -> dict[str, Any]:
    """What torch wants to hear: an entry for every argument that is given, None for one without open dimensions."""
    positional = list(inspect.signature(module.forward).parameters)[: len(arguments)]
    given = (*positional, *keywords)
    for name, axes in dynamic.items():
        if name not in given:
            raise ModelError(f"dynamic names {name!r}, but the examples are for: {', '.join(given)}")
        if not isinstance(axes, Mapping):
            raise ModelError(f"dynamic[{name!r}] must say which axis has which name, such as {{0: 'batch'}}")
    return {name: dict(dynamic[name]) if name in dynamic else None for name in given}


def _cause(message: str) -> str:
    """The cause in torch's long message, on one line."""
    _, _, summary = message.rpartition(SUMMARY)
    lines = [line.strip() for line in (summary or message).splitlines() if line.strip()]
    return lines[0] if lines else "it says nothing of the cause"


def _example_sizes(model: "onnx.ModelProto", examples: Sequence[Any]) -> dict[str, int]:
    """The sizes of the open dimensions in the examples, by name."""
    from torch.utils import _pytree

    tensors = [leaf for leaf in _pytree.tree_leaves(list(examples)) if hasattr(leaf, "shape")]
    found: dict[str, int] = {}
    for declared, tensor in zip(model.graph.input, tensors, strict=False):
        for dim, size in zip(declared.type.tensor_type.shape.dim, tensor.shape, strict=False):
            if dim.dim_param:
                found.setdefault(dim.dim_param, int(size))
    return found


def _loaded(program: Any, path: Path, sizes: Mapping[str, int | tuple[int, ...]]) -> "Graph":
    """The graph of the model, which is written to `path` first."""
    from partita.api import load

    if not path.parent.is_dir():
        raise ModelError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; make it first")
    program.save(str(path), external_data=True)
    return load(path, sizes)
