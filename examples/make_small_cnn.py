"""Write a small convolutional network, such as a face detector has: python examples/make_small_cnn.py FILE.

Twelve 3x3 convolutions on 24x24 pixels, 59 million multiply-accumulates: so little that handing it to a GPU costs more
than computing it on the CPU, as long as the CPU is cool. See docs/simulation.md.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PIXELS = 24
CHANNELS = 32
LAYERS = 12
IMAGE_CHANNELS = 3


def small_cnn() -> onnx.ModelProto:
    dice = np.random.default_rng(0)
    nodes, weights = [], []
    name, channels = "image", IMAGE_CHANNELS
    for layer in range(LAYERS):
        scale = (2 / (channels * 9)) ** 0.5
        kernel = (dice.standard_normal((CHANNELS, channels, 3, 3)) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{layer}"))
        nodes.append(helper.make_node("Conv", [name, f"kernel{layer}"], [f"conv{layer}"], f"conv{layer}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"], f"relu{layer}"))
        name, channels = f"relu{layer}", CHANNELS
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["pooled"], "pool"))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, IMAGE_CHANNELS, PIXELS, PIXELS])
    pooled = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [1, CHANNELS, 1, 1])
    graph = helper.make_graph(nodes, "small_cnn", [image], [pooled], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    onnx.save(small_cnn(), sys.argv[1])
    print(f"wrote {sys.argv[1]}")
