"""Writes models/mobilenet_v2.onnx: the structure of MobileNetV2, without weights.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2: expansion t,
channels c, repeats n, stride s of each group of blocks, at 224 x 224 and width 1.0.

    python examples/make_mobilenet_v2.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
OUTPUT = Path(__file__).parent / "models" / "mobilenet_v2.onnx"


class Writer:
    """Collects the nodes and the weights, whose data lies in a file that does not exist."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = [
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.float32(6), "six"),
        ]

    def weight(self, name: str, *dims: int) -> str:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="mobilenet_v2.weights")
        self.weights.append(tensor)
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(
        self, name: str, x: str, channels: tuple[int, int], *, kernel: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        """Convolution and batch normalisation."""
        ins, outs = channels
        w = self.weight(f"{name}.weight", outs, ins // group, kernel, kernel)
        pad = kernel // 2
        y = self.node(
            "Conv", name, x, w, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[pad] * 4, group=group
        )
        statistics = [self.weight(f"{name}.bn.{part}", outs) for part in ("scale", "bias", "mean", "var")]
        return self.node("BatchNormalization", f"{name}.bn", y, *statistics)

    def relu6(self, x: str) -> str:
        return self.node("Clip", f"{x}.relu6", x, "zero", "six")


def main() -> None:
    writer = Writer()
    x, ins = writer.relu6(writer.conv("features.0", "image", (3, 32), kernel=3, stride=2)), 32
    number = 1
    for expansion, outs, repeats, first_stride in BLOCKS:
        for repeat in range(repeats):
            name, stride, start = f"features.{number}", first_stride if repeat == 0 else 1, x
            hidden = ins * expansion
            if expansion > 1:
                x = writer.relu6(writer.conv(f"{name}.expand", x, (ins, hidden)))
            x = writer.relu6(
                writer.conv(f"{name}.depthwise", x, (hidden, hidden), kernel=3, stride=stride, group=hidden)
            )
            x = writer.conv(f"{name}.project", x, (hidden, outs))
            if stride == 1 and ins == outs:
                x = writer.node("Add", f"{name}.add", start, x)
            ins, number = outs, number + 1
    x = writer.relu6(writer.conv(f"features.{number}", x, (ins, 1280)))
    x = writer.node("Flatten", "flat", writer.node("GlobalAveragePool", "pool", x))
    writer.node(
        "Gemm",
        "logits",
        x,
        writer.weight("classifier.weight", 1000, 1280),
        writer.weight("classifier.bias", 1000),
        transB=1,
    )
    graph = helper.make_graph(
        writer.nodes,
        "mobilenet_v2",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])],
        writer.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="partita")
    OUTPUT.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
