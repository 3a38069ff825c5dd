"""MatMul, Gemm, Einsum and Det."""

import math
import string

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.products import multiply
from partita.kernels.registry import kernel
from partita.kernels.tiles import by_matrix


@kernel("MatMul", since=1)
def matmul(A: Array, B: Array) -> Array:
    """Matrix product (..., m, k) by (..., k, n), broadcast over the leading axes; vectors as in `numpy.matmul`.

    A stack times one matrix is one product of two matrices, not one per entry of the stack.
    Source: ONNX operators, MatMul-13.
    """
    if A.ndim == 0 or B.ndim == 0 or A.shape[-1] != B.shape[-2 if B.ndim > 1 else 0]:
        raise KernelError(f"matrices of shapes {A.shape} and {B.shape} cannot be multiplied")
    if A.ndim > 2 and B.ndim == 2 and A.flags.c_contiguous:
        return by_matrix(A.reshape(math.prod(A.shape[:-1]), A.shape[-1]), B).reshape(*A.shape[:-1], B.shape[1])
    if A.ndim == B.ndim == 2:
        return by_matrix(A, B)
    return multiply(A, B) if min(A.ndim, B.ndim) > 1 else np.asarray(np.matmul(A, B))


@kernel("Gemm", since=1)
def gemm(
    A: Array,
    B: Array,
    C: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    broadcast: int = 1,
) -> Array:
    """`alpha * A @ B + beta * C` of matrices; C broadcasts to the result.

    Opsets before 7 say with `broadcast` that C may be smaller; nothing changes for a C that fits.
    Source: ONNX operators, Gemm-13 and Gemm-6.
    """
    a = A.T if transA else A
    b = B.T if transB else B
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise KernelError(f"matrices of shapes {a.shape} and {b.shape} (after transA, transB) cannot be multiplied")
    y = by_matrix(a, B, is_transposed=bool(transB))
    if alpha != 1:
        y = _scaled(y, alpha)
    if C is not None and beta != 0:
        y += C if beta == 1 else _scaled(C, beta)
    return y


def _scaled(x: Array, factor: float) -> Array:
    """`x * factor` in the dtype of `x`; an integer result is cut towards zero."""
    return (x * x.dtype.type(factor)) if x.dtype.kind == "f" else (x * factor).astype(x.dtype)


@kernel("Det", since=11)
def det(X: Array) -> Array:
    """Determinant of each square matrix (..., m, m): shape (...). Source: ONNX operators, Det-22."""
    return np.asarray(np.linalg.det(X), X.dtype)


@kernel("Einsum", since=12)
def einsum(*Inputs: Array, equation: str) -> Array:
    """Sum of products in Einstein's notation; two operands go through one batched matrix product.

    Source: ONNX operators, Einsum-28.
    """
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(Inputs):
        raise KernelError(f"equation {equation!r} names {len(terms)} operands, {len(Inputs)} are given")
    named = _name_ellipsis(terms, right if arrow else None, Inputs)
    if named is None:
        return np.asarray(np.einsum(text, *Inputs))
    terms, output = named
    plain = all(len(set(term)) == len(term) for term in terms)
    if len(terms) == 2 and plain and _sizes_agree(terms, Inputs):
        return _contract(terms[0], terms[1], output, Inputs[0], Inputs[1])
    result = np.einsum(f"{','.join(terms)}->{output}", *Inputs, optimize=len(terms) > 2)
    return np.array(result) if len(terms) == 1 else np.asarray(result)


def _name_ellipsis(terms: list[str], output: str | None, inputs: tuple[Array, ...]) -> tuple[list[str], str] | None:
    """The terms and the output with letters for each ellipsis; None if ellipses differ in rank."""
    ranks = {x.ndim - len(term) + 3 for term, x in zip(terms, inputs, strict=True) if "..." in term}
    if len(ranks) > 1:
        return None
    used = set("".join(terms))
    spare = "".join([c for c in string.ascii_letters if c not in used][: ranks.pop() if ranks else 0])
    named = [term.replace("...", spare) for term in terms]
    if any(len(term) != x.ndim for term, x in zip(named, inputs, strict=True)):
        shapes = ", ".join(str(x.shape) for x in inputs)
        raise KernelError(f"the terms {','.join(terms)} do not have the ranks of the operands {shapes}")
    if output is not None:
        return named, output.replace("...", spare)
    letters = "".join(named)
    once = sorted(c for c in set(letters) - set(spare) if letters.count(c) == 1)
    return named, spare + "".join(once)


def _sizes_agree(terms: list[str], inputs: tuple[Array, ...]) -> bool:
    """Whether every letter has one size (numpy also lets a size of 1 broadcast)."""
    size_of: dict[str, int] = {}
    pairs = ((c, n) for term, x in zip(terms, inputs, strict=True) for c, n in zip(term, x.shape, strict=True))
    return all(size_of.setdefault(c, n) == n for c, n in pairs)


def _contract(left: str, right: str, output: str, a: Array, b: Array) -> Array:
    """Two operands as a batched product of (batch, rows, summed) and (batch, summed, columns)."""
    a, left = _sum_unshared(a, left, right + output)
    b, right = _sum_unshared(b, right, left + output)
    batch = [c for c in output if c in left and c in right]
    rows = [c for c in output if c in left and c not in right]
    columns = [c for c in output if c in right and c not in left]
    summed = [c for c in left if c in right and c not in output]
    size_of = dict(zip(left + right, a.shape + b.shape, strict=True))

    def size(letters: list[str]) -> int:
        return math.prod(size_of[c] for c in letters)

    a = a.transpose([left.index(c) for c in batch + rows + summed]).reshape(size(batch), size(rows), size(summed))
    b = b.transpose([right.index(c) for c in batch + summed + columns]).reshape(
        size(batch), size(summed), size(columns)
    )
    order = batch + rows + columns
    product = multiply(a, b).reshape([size_of[c] for c in order])
    return product.transpose([order.index(c) for c in output])


def _sum_unshared(x: Array, term: str, others: str) -> tuple[Array, str]:
    """Sum the axes whose letter occurs nowhere else."""
    axes = tuple(i for i, c in enumerate(term) if c not in others)
    return (x.sum(axes, dtype=x.dtype), "".join(c for c in term if c in others)) if axes else (x, term)
