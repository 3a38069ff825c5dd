"""Scaled dot-product attention spelled out, as ONNX's Attention operator computes it.

Source of the operator's meaning: ONNX operators, Attention-23. Its inputs are [batch, heads, length, depth], or
[batch, length, heads * depth] with the numbers of heads as attributes; the mask is added to the scaled scores.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from partita.graph.ir import Node
from partita.graph.match import Match
from partita.passes.patterns.view import View

HEADS_FIRST = (0, 2, 1, 3)
"""[batch, length, heads, depth] to [batch, heads, length, depth], and back."""
KEYS_TRANSPOSED = (0, 2, 3, 1)
"""[batch, length, heads, depth] to [batch, heads, depth, length]: the same with the key's last axes swapped."""


def attentions(view: View) -> Iterator[Match]:
    """Per Softmax up to three matches: plain, with keys shared among heads, and with the heads split and merged."""
    for node in view.graph.nodes:
        if node.op != "Softmax" or node.domain:
            continue
        core = _core(view, node)
        if core is not None:
            matches = (_with_split_heads(view, core), _with_shared_keys(view, core), _with_merged_heads(view, core))
            yield from (match for match in matches if match is not None)


class _Core(NamedTuple):
    """softmax(query @ transposed_key * scale + mask) @ value, and the operators that compute it."""

    query: str
    transposed_key: str
    value: str
    mask: str
    scale: float
    nodes: tuple[Node, ...]
    product: Node


def _core(view: View, softmax: Node) -> _Core | None:
    if not view.has_dims(softmax.inputs[0]):
        return None
    rank = len(view.dims(softmax.inputs[0]))
    if softmax.attributes.get("axis", -1 if softmax.version >= 13 else 1) not in (-1, rank - 1):
        return None
    scores = _scores(view, softmax.inputs[0])
    applied = _applied(view, softmax)
    if scores is None or applied is None:
        return None
    product = applied[-1]
    query, query_scale, query_nodes = _unscaled(view, scores.matmul.inputs[0])
    key, key_scale, key_nodes = _unscaled(view, scores.matmul.inputs[1])
    return _Core(
        query,
        key,
        product.inputs[1],
        scores.mask,
        scores.scale * query_scale * key_scale,
        (*query_nodes, *key_nodes, *scores.nodes, softmax, *applied),
        product,
    )


class _Scores(NamedTuple):
    matmul: Node
    scale: float
    mask: str
    nodes: tuple[Node, ...]


def _scores(view: View, name: str) -> _Scores | None:
    """The tensor as a matrix product, perhaps scaled, perhaps with a mask added; None if it is something else."""
    add = view.maker(name, "Add")
    for scaled, mask in ((name, ""),) if add is None else (add.inputs, add.inputs[::-1]):
        inner, scale, scaling = _unscaled(view, scaled)
        matmul = view.maker(inner, "MatMul")
        if matmul is not None and (not mask or _fits_scores(view, mask, matmul.outputs[0])):
            masking = () if add is None else (add,)
            return _Scores(matmul, scale, mask, (matmul, *scaling, *masking))
    return None


def _fits_scores(view: View, mask: str, scores: str) -> bool:
    """Whether a mask broadcasts to [batch, heads, length, length of keys], and only in the leading axes."""
    if not view.has_dims(mask):
        return False
    dims, wanted = view.dims(mask), view.dims(scores)
    if len(dims) < 2 or len(dims) > len(wanted) or dims[-2:] != wanted[-2:]:
        return False
    leading = zip(reversed(dims[:-2]), reversed(wanted[:-2]), strict=False)
    return all(d in (1, w) for d, w in leading) and (len(wanted) == 4 or len(dims) == 2)


def _unscaled(view: View, name: str) -> tuple[str, float, tuple[Node, ...]]:
    """The tensor without the number that it was multiplied with, if nobody else reads the product."""
    node = view.maker(name, "Mul", "Div")
    if node is None or len(view.readers(name)) != 1:
        return name, 1.0, ()
    if node.op == "Div":
        divisor = view.number(node.inputs[1])
        return (node.inputs[0], 1 / divisor, (node,)) if divisor else (name, 1.0, ())
    operands = view.split_number(node)
    return (name, 1.0, ()) if operands is None else (*operands, (node,))


def _applied(view: View, softmax: Node) -> tuple[Node, ...] | None:
    """What applies the weights to the values: a MatMul, after a guard that sets NaN rows to 0 if there is one."""
    weights = softmax.outputs[0]
    product = view.reader(weights, "MatMul")
    guard: tuple[Node, ...] = ()
    if product is None:
        guard = _nan_guard(view, weights)
        product = view.reader(guard[-1].outputs[0], "MatMul") if guard else None
        weights = guard[-1].outputs[0] if guard else weights
    if product is None or product.inputs[0] != weights or product.inputs[1] == weights:
        return None
    return *guard, product


def _nan_guard(view: View, weights: str) -> tuple[Node, ...]:
    for reader in view.readers(weights):
        where = view.reader(reader.outputs[0], "Where") if reader.op == "IsNaN" and not reader.domain else None
        if where is not None and view.number(where.inputs[1]) == 0 and where.inputs[2] == weights:
            return reader, where
    return ()


class _Source(NamedTuple):
    """A tensor, and the operators that made another one of it."""

    name: str
    nodes: tuple[Node, ...]


def _swapped(view: View, name: str) -> _Source | None:
    """What a tensor is with its last two axes swapped, seen through a Reshape to three axes and back."""
    transpose = view.maker(name, "Transpose")
    if transpose is not None:
        rank = len(view.dims(name))
        is_swap = transpose.attributes.get("perm") == (*range(rank - 2), rank - 1, rank - 2)
        return _Source(transpose.inputs[0], (transpose,)) if is_swap else None
    back = view.maker(name, "Reshape")
    transpose = view.maker(back.inputs[0], "Transpose") if back is not None else None
    there = view.maker(transpose.inputs[0], "Reshape") if transpose is not None else None
    if back is None or transpose is None or there is None or transpose.attributes.get("perm") != (0, 2, 1):
        return None
    before, after = view.dims(there.inputs[0]), view.dims(name)
    if after != (*before[:-2], before[-1], before[-2]) or view.dims(there.outputs[0])[-2:] != before[-2:]:
        return None
    return _Source(there.inputs[0], (there, transpose, back))


def _with_split_heads(view: View, core: _Core) -> Match | None:
    """Query, key and value as [batch, heads, length, depth]; with one head, as [batch, length, depth]."""
    key = _swapped(view, core.transposed_key)
    if key is None or not _fit(view, core.query, key.name, core.value):
        return None
    attributes: dict[str, Any] = {"scale": core.scale}
    if len(view.dims(core.query)) == 3:
        attributes |= {"q_num_heads": 1, "kv_num_heads": 1}
    return _attention(view, core, (core.query, key.name, core.value), key.nodes, attributes)


def _with_shared_keys(view: View, core: _Core) -> Match | None:
    """Query of many heads, key and value of fewer, each of which serves a group of query heads in a row."""
    swapped = _swapped(view, core.transposed_key)
    key = _unrepeated(view, swapped.name) if swapped is not None else None
    value = _unrepeated(view, core.value)
    if swapped is None or key is None or value is None or view.dims(key.name)[:2] != view.dims(value.name)[:2]:
        return None
    if len(view.dims(core.query)) != 4 or view.dims(core.query)[0] != view.dims(key.name)[0]:
        return None
    around = (*swapped.nodes, *key.nodes, *value.nodes)
    return _attention(view, core, (core.query, key.name, value.name), around, {"scale": core.scale})


def _unrepeated(view: View, name: str) -> _Source | None:
    """The [batch, heads, length, depth] tensor whose heads an Unsqueeze, an Expand and a Reshape repeat in place."""
    reshape = view.maker(name, "Reshape")
    expand = view.maker(reshape.inputs[0], "Expand") if reshape is not None else None
    unsqueeze = view.maker(expand.inputs[0], "Unsqueeze", "Reshape") if expand is not None else None
    if reshape is None or expand is None or unsqueeze is None:
        return None
    few, repeated = view.dims(unsqueeze.inputs[0]), view.dims(expand.outputs[0])
    if len(few) != 4 or len(repeated) != 5 or view.dims(unsqueeze.outputs[0]) != (*few[:2], 1, *few[2:]):
        return None
    is_repeat = repeated[:2] == few[:2] and repeated[3:] == few[2:]
    if not is_repeat or view.dims(name) != (few[0], few[1] * repeated[2], *few[2:]):
        return None
    return _Source(unsqueeze.inputs[0], (unsqueeze, expand, reshape))


def _fit(view: View, query: str, key: str, value: str) -> bool:
    """Whether the three are whole tensors of one batch and number of heads: the operator broadcasts none of them."""
    if not all(view.has_dims(name) and len(view.dims(name)) in (3, 4) for name in (query, key, value)):
        return False
    return view.dims(query)[:-2] == view.dims(key)[:-2] == view.dims(value)[:-2]


def _with_merged_heads(view: View, core: _Core) -> Match | None:
    """Query, key, value and result as [batch, length, heads * depth], where all four are split and merged plainly."""
    query = _merged(view, core.query, HEADS_FIRST)
    value = _merged(view, core.value, HEADS_FIRST)
    swapped = _swapped(view, core.transposed_key)
    if swapped is None:
        key = _merged(view, core.transposed_key, KEYS_TRANSPOSED)
    else:
        key = _merged(view, swapped.name, HEADS_FIRST)
    merging = _merging(view, core.product.outputs[0])
    if query is None or key is None or value is None or not merging:
        return None
    heads = view.dims(core.query)[1]
    if view.dims(core.transposed_key)[1] != heads or view.dims(core.value)[1] != heads:
        return None
    attributes = {"scale": core.scale, "q_num_heads": heads, "kv_num_heads": heads}
    splitting = (*query.nodes, *key.nodes, *value.nodes, *(swapped.nodes if swapped is not None else ()))
    return _attention(view, core, (query.name, key.name, value.name), (*splitting, *merging), attributes)


def _merged(view: View, name: str, order: tuple[int, ...]) -> _Source | None:
    """The [batch, length, heads * depth] tensor whose heads were split by a Reshape and moved to the front."""
    transpose = view.maker(name, "Transpose")
    reshape = view.maker(transpose.inputs[0], "Reshape") if transpose is not None else None
    if transpose is None or reshape is None or transpose.attributes.get("perm") != order:
        return None
    whole, split = view.dims(reshape.inputs[0]), view.dims(reshape.outputs[0])
    if len(whole) != 3 or whole != (*split[:2], split[2] * split[3]):
        return None
    return _Source(reshape.inputs[0], (reshape, transpose))


def _merging(view: View, name: str) -> tuple[Node, ...]:
    """The Transpose and the Reshape that put the heads of a result side by side."""
    transpose = view.reader(name, "Transpose")
    reshape = view.reader(transpose.outputs[0], "Reshape") if transpose is not None else None
    if transpose is None or reshape is None or transpose.attributes.get("perm") != HEADS_FIRST:
        return ()
    split, whole = view.dims(transpose.outputs[0]), view.dims(reshape.outputs[0])
    return (transpose, reshape) if whole == (*split[:2], split[2] * split[3]) else ()


def _attention(
    view: View, core: _Core, inputs: tuple[str, ...], around: tuple[Node, ...], attributes: dict[str, Any]
) -> Match | None:
    masked = (*inputs, core.mask) if core.mask else inputs
    return view.closed_match("Attention", (*core.nodes, *around), masked, attributes)
