"""A moving size: buckets are powers of two, and a change of the best placement is found between them."""

import numpy as np
import pytest

from partita.devices import Soc, load_soc
from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.plan import Plan
from partita.partitioner import Wishes, partition
from partita.passes.pipeline import prepare
from partita.studies.buckets import Buckets, parse_span, place_buckets

SOC = load_soc("sd8gen3-qnn")


def growing(soc: Soc, size: int) -> Plan:
    """Two products whose rows grow: small ones are not worth a call of the NPU."""
    b = GraphBuilder("growing")
    x = b.input("x", "float32", (size, 256))
    for i in range(2):
        x = b.node("Relu", b.node("MatMul", x, b.constant(f"w{i}", np.ones((256, 256), np.float32))))
    b.output(x)
    return partition(prepare(b.build()), soc, (), Wishes())


def dear_call() -> Soc:
    """The chip with an NPU whose call takes a tenth of a millisecond, and no GPU."""
    units = [unit for unit in SOC.units if unit.name != "gpu"]
    links = [link for link in SOC.links if "gpu" not in (link.source, link.target)]
    dear = [
        u.model_copy(update={"call_us": u.call_us.model_copy(update={"value": 100.0, "high": 245.0})})
        if u.name == "npu"
        else u
        for u in units
    ]
    return SOC.model_copy(update={"units": tuple(dear), "links": tuple(links)})


def done(text: str, soc: Soc) -> tuple[list[int], Buckets]:
    *sizes, result = place_buckets(parse_span(text), lambda size: growing(soc, size))
    assert isinstance(result, Buckets)
    return [size for size in sizes if isinstance(size, int)], result


def test_every_bucket_has_a_plan_and_the_change_lies_between_two_of_them() -> None:
    soc = dear_call()
    sizes, result = done("rows=1..2048", soc)
    assert tuple(result.plans) == result.span.buckets == tuple(1 << i for i in range(12))
    (change,) = result.changes
    units = {size: growing(soc, size).operators[0].unit for size in (1, change.below, change.above, 2048)}
    assert units == {1: "cpu", change.below: "cpu", change.above: "npu", 2048: "npu"}
    assert 0 < change.above - change.below <= max(1, change.below // 8)
    assert sum(moved.count for moved in change.moved) == 4
    assert {(moved.source, moved.target) for moved in change.moved} == {("cpu", "npu")}
    assert set(result.plans) < set(sizes)


def test_one_placement_for_all_sizes_has_no_change() -> None:
    sizes, result = done("rows=1024..2048", dear_call())
    assert (sizes, result.changes) == ([1024, 2048], ())


def test_sizes_that_move_together_have_their_own_numbers() -> None:
    span = parse_span("past,mask+1=100..300")
    assert span.buckets == (100, 128, 256, 300)
    assert span.shapes(128) == {"past": 128, "mask": 129}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seq", "write NAME=LEAST..MOST"),
        ("seq=5", "write NAME=LEAST..MOST"),
        ("seq=9..3", "the smaller one first"),
        ("seq=1..99999999999", "sizes go from 0 to"),
        ("=1..2", "names no dimension"),
        ("a,b+x=1..2", "'b\\+x' is not understood"),
    ],
)
def test_a_span_that_is_not_understood_says_how_to_write_one(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_span(text)
