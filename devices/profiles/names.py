"""Which operators of a graph a row's name means: as it is, or as exporters and runtimes change names."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from partita.devices.profiles.profile import Row
from partita.graph.ir import Graph

_ADDED = re.compile(
    r"(_nchwc|_nhwc|_token_\d+|_kernel_time|_fused|_duplicated?(_\w+)?|/\w*Fusion\w*/?"
    r"|_quant(ized)?|_QuantizeLinear|_DequantizeLinear|:\d+|/duplicated)$"
)
"""What runtimes hang on to the name of an operator or of the tensor that it makes."""
_PUT_BEFORE = re.compile(r"^(fused|Fused|nchwc|node|aten|native_call_)[ _:/]+")
_JOINTS = re.compile(r"\s*(?:[+|&;,]|\bfused with\b|-->?)\s*")
LONGEST_PREFIX_LOST = 3
"""So many leading scopes of a name may be missing on one side: model/encoder/layer/Conv."""


class Names:
    """The names of a graph's operators and tensors, for look-up."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._exact = frozenset(graph.node_named)
        self._tensors = {name: node.name for name, node in graph.producer_of.items()}

    def meant_by(self, row: Row) -> tuple[tuple[str, ...], ...]:
        """For each part of the row's name the operators that it may mean; empty if it means none of them.

        A tool that says itself which operators a row covers is believed.
        """
        if row.covers:
            told = tuple(found for name in row.covers if (found := self.of(name)))
            if told:
                return told
        whole = self.of(row.name)
        if whole:
            return (whole,)
        parts = [part for part in _JOINTS.split(row.name) if part]
        if len(parts) < 2:
            return ()
        return tuple(found for part in parts if (found := self.of(part)))

    def of(self, name: str) -> tuple[str, ...]:
        """Operators that one name may mean, in the graph's order."""
        for spelling in spellings(name):
            if spelling in self._exact:
                return (spelling,)
            if spelling in self._tensors:
                return (self._tensors[spelling],)
        for spelling in spellings(name):
            plain = plain_name(spelling)
            for table in (self._plain_nodes, self._plain_tensors, self._last_scopes):
                if plain in table:
                    return table[plain]
        return ()

    @cached_property
    def _plain_nodes(self) -> Mapping[str, tuple[str, ...]]:
        return _gathered((plain_name(node.name), node.name) for node in self._graph.nodes)

    @cached_property
    def _plain_tensors(self) -> Mapping[str, tuple[str, ...]]:
        return _gathered((plain_name(name), node.name) for name, node in self._graph.producer_of.items())

    @cached_property
    def _last_scopes(self) -> Mapping[str, tuple[str, ...]]:
        """Names without their first scopes, as far as they are still of one operator only."""
        pairs = ((short, node.name) for node in self._graph.nodes for short in _shortened(node.name))
        return {short: nodes for short, nodes in _gathered(pairs).items() if len(nodes) == 1}


def spellings(name: str) -> Iterator[str]:
    """The name as it is, then without what runtimes add, one thing after the other."""
    text = name.strip()
    while text:
        yield text
        shorter = _ADDED.sub("", text)
        if shorter == text:
            shorter = _PUT_BEFORE.sub("", text)
        if shorter == text:
            return
        text = shorter


def plain_name(name: str) -> str:
    """A name without anything but letters and digits, in small letters.

    >>> plain_name("/features/0/Conv_output_0")
    'features_0_conv_output_0'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _shortened(name: str) -> Iterator[str]:
    scopes = [plain_name(scope) for scope in re.split(r"[/.]", name) if plain_name(scope)]
    for lost in range(1, min(LONGEST_PREFIX_LOST, len(scopes) - 2) + 1):
        yield "_".join(scopes[lost:])


def _gathered(pairs: Iterator[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for key, name in pairs:
        if key:
            found.setdefault(key, {})[name] = None
    return {key: tuple(names) for key, names in found.items()}
