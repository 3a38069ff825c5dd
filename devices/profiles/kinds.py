"""Operator types in the words of many tools, as one kind: "Conv2d", "CONV_2D" and "aten.convolution" are "conv"."""

import re
from functools import lru_cache

from partita.graph.ir import Graph, Node
from partita.graph.op_class import DEPTHWISE_CONV, GROUPED_CONV, STRIDED_DEPTHWISE_CONV, class_of

_KIND_OF: tuple[tuple[str, str], ...] = (
    (r"(conv\w*transpose|transposed?_?conv\w*|deconv\w*)", "transposed_conv"),
    (r"(depth_?wise\w*|dwconv\w*)", "depthwise"),
    (r"(q_?linear|fused|nhwc)?_?conv(olution|integer)?(_?[123]d)?(_?bias)?(_?default)?", "conv"),
    (r"(q_?linear|fused|batch|dynamic_?quantize)?_?(gemm|mat_?mul\w*|fully_?connected\w*|linear|addmm|mm|bmm|dense)",
     "matmul"),
    (r"(global_?(average|avg)_?pool\w*|mean|reduce_?mean|adaptive_?avg_?pool\w*)", "mean"),
    (r"(average|avg)_?pool\w*|pool_?avg\w*", "avg_pool"),
    (r"(global_?max_?pool|max_?pool\w*|pool_?max\w*)", "max_pool"),
    (r"(log_?)?softmax", "softmax"),
    (r"(skip_?)?(simplified_?)?(layer|rms|batch|instance|group)_?norm\w*|l2_?norm\w*", "norm"),
    (r"relu|relu_?6|relu_n\w*|clip|clamp|hard_?tanh|min_?max\w*", "relu"),
    (r"hard_?swish", "hard_swish"),
    (r"hard_?sigmoid", "hard_sigmoid"),
    (r"sigmoid|logistic", "sigmoid"),
    (r"p_?relu", "prelu"),
    (r"leaky_?relu", "leaky_relu"),
    (r"(fast_?|quick_?|bias_?)?gelu", "gelu"),
    (r"(q_?linear)?_?(element_?wise_?)?add", "add"),
    (r"(element_?wise_?)?sub(tract)?", "sub"),
    (r"(q_?linear)?_?(element_?wise_?)?mul(tiply)?", "mul"),
    (r"(element_?wise_?)?div(ide)?", "div"),
    (r"reshape|flatten|squeeze|unsqueeze|expand_?dims|view\w*|static_?reshape", "reshape"),
    (r"transpose|permute\w*", "transpose"),
    (r"(q_?linear)?_?concat(enation)?|cat", "concat"),
    (r"(strided_?)?slice\w*", "slice"),
    (r"split\w*|unpack|unbind", "split"),
    (r"pad(v2)?|mirror_?pad|constant_?pad\w*", "pad"),
    (r"resize\w*|upsample\w*|bilinear\w*|nearest_?neighbor\w*", "resize"),
    (r"gather\w*|embedding\w*|index_?select|take", "gather"),
    (r"cast|convert|to_?copy", "cast"),
    (r"quantize(_?linear)?", "quantize"),
    (r"dequantize(_?linear)?", "dequantize"),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern), kind) for pattern, kind in _KIND_OF)
_WRAPPING = re.compile(r"^(aten|native_call|q|com\.microsoft|torch\.ops\.aten|edge\w*)[._:]+|[._](out|default|tensor)$")
ALIKE = (
    frozenset(("conv", "depthwise")),
    frozenset(("mean", "avg_pool")),
    frozenset(("mean", "max_pool")),
)
"""Kinds that tools do not tell apart."""


@lru_cache(maxsize=4096)
def kind_named(op: str) -> str | None:
    """The kind that a tool's word for an operator type means; None for an empty or unknown one.

    >>> kind_named("CONV_2D"), kind_named("aten.convolution.default"), kind_named("ReorderInput")
    ('conv', 'conv', 'reorderinput')
    """
    text = op.strip().lower().partition("(")[0].strip().replace(" ", "_").replace("-", "_")
    for _ in range(3):
        text = _WRAPPING.sub("", text)
    for pattern, kind in _PATTERNS:
        if pattern.fullmatch(text):
            return kind
    return re.sub(r"[^a-z0-9]", "", text) or None


def kind_of(graph: Graph, node: Node) -> str:
    """The kind of an operator of ours."""
    if node.op == "Conv" and class_of(graph, node) in (DEPTHWISE_CONV, STRIDED_DEPTHWISE_CONV, GROUPED_CONV):
        return "depthwise"
    return kind_named(node.op) or node.op.lower()


def is_alike(one: str, other: str) -> bool:
    """Whether two kinds may be the same operator."""
    return one == other or any(one in kinds and other in kinds for kinds in ALIKE)
