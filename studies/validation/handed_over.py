"""What ONNX Runtime leaves to the CPU of a quantised network that it gives to an NPU, and what that costs.

A convolution is given away as one with the conversions around it. Where they do not fit, as behind an activation that
is not merged into them, its weights are turned into float32 by the CPU at every inference and handed over as an
input, which the NPU then has to pack. Of a matrix product with weights the CPU takes the conversion and the product.

    latency = the same network wholly on the NPU
            + (operators * operator_us + weights * weight_ns + elements * element_ns + MACs / matmul_gmac_per_s)
              * memory's rate where they were fitted / this memory's rate

Sources: QNN's provider refuses conversions of weights by channel that stand alone (onnxruntime's page on it), and gives
up convolutions behind which a Relu stays (microsoft/onnxruntime issue 18353); layers on the CPU in AI Hub's table are
one or two for each convolution, two for each matrix product.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from partita.devices import Soc
from partita.graph.ir import Graph, Node
from partita.graph.work import work_of
from partita.units import MACS_PER_GMAC, NS_PER_US, US_PER_S

RATES_FILE = Path(__file__).parent / "aihub_handed_over.toml"
WEIGHTED = frozenset(("Conv", "ConvTranspose", "Gemm"))
MATMUL = "MatMul"
LAYERS_OF_A_MATMUL = 2
"""The conversion of its weights and the product."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """What of a network is not the NPU's alone; fractions where only part of the alike operators fell."""

    operators: float
    weights: float
    """Of convolutions, handed over at every inference."""
    elements: float
    """Of all results."""
    macs: float
    """Multiply-accumulates of matrix products on the CPU."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What each costs, with the memory that they were fitted with."""

    operator_us: float
    weight_ns: float
    element_ns: float
    matmul_gmac_per_s: float

    def us(self, fallen: Fallen) -> float:
        per_ns = fallen.weights * self.weight_ns + fallen.elements * self.element_ns
        products_us = fallen.macs / (self.matmul_gmac_per_s * MACS_PER_GMAC) * US_PER_S
        return fallen.operators * self.operator_us + per_ns / NS_PER_US + products_us


@dataclass(frozen=True, slots=True)
class Law:
    """The fitted rates, and those that were fitted without one network."""

    rates: Rates
    left_out: Mapping[str, Rates]
    memory_gb_per_s: float
    """Peak rate of the memory that the rates hold for."""
    spread: float
    """Factor either way that holds 90 % of networks that were left out."""

    def extra_us(self, model: str, fallen: Fallen, soc: Soc) -> float:
        """What comes on top of the network wholly on the NPU; a network that was fitted to is predicted without it."""
        slowness = self.memory_gb_per_s / soc.dram.peak_gb_per_s.value
        return self.left_out.get(model, self.rates).us(fallen) * slowness


@cache
def law() -> Law:
    """The one that ships."""
    return law_from(RATES_FILE.read_text(encoding="utf-8"))


def law_from(text: str) -> Law:
    """The law that a file of rates holds."""
    content = tomllib.loads(text)
    return Law(
        rates=Rates(**content["rates"]),
        left_out={model: Rates(**rates) for model, rates in content["left_out"].items()},
        memory_gb_per_s=content["memory_gb_per_s"],
        spread=content["spread"],
    )


def fallen(graph: Graph, cpu_layers: int) -> Fallen:
    """Which operators so many layers on the CPU are: matrix products with weights first, then convolutions.

    Which of the alike ones fell is not known, so they count with their mean.
    """
    products = [node for node in graph.nodes if node.op == MATMUL and _has_weights(graph, node)]
    convolutions = [node for node in graph.nodes if node.op in WEIGHTED and _has_weights(graph, node)]
    share = min(1.0, cpu_layers / LAYERS_OF_A_MATMUL / len(products)) if products else 0.0
    left = cpu_layers - share * LAYERS_OF_A_MATMUL * len(products)
    of_products = _sum(graph, products, share)
    of_convolutions = _sum(graph, convolutions, min(1.0, left / len(convolutions)) if convolutions else 0.0)
    return Fallen(
        operators=of_products.operators + of_convolutions.operators,
        weights=of_convolutions.weights,
        elements=of_products.elements + of_convolutions.elements,
        macs=of_products.macs,
    )


def _sum(graph: Graph, nodes: list[Node], share: float) -> Fallen:
    works = [work_of(graph, node) for node in nodes]
    return Fallen(
        operators=share * len(nodes),
        weights=share * sum(graph.value(node.inputs[1]).elements for node in nodes),
        elements=share * sum(graph.value(node.outputs[0]).elements for node in nodes),
        macs=share * sum(work.macs for work in works),
    )


def _has_weights(graph: Graph, node: Node) -> bool:
    return graph.is_constant(node.inputs[1])
