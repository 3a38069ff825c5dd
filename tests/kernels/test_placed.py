"""Running placed graphs: in floating-point types, quantised, and mixed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import partita as pt
from partita.errors import ModelError
from partita.graph.plan import Location, Plan
from partita.kernels.compare import difference
from partita.kernels.executor import run
from partita.kernels.noise import noise_of_operators
from partita.kernels.placed import execute
from partita.passes.random_feeds import random_feeds

MODEL = Path(__file__).parents[2] / "examples" / "models" / "mobilenet_v2.onnx"


@pytest.fixture(scope="module")
def plan() -> Plan:
    graph = pt.load(MODEL, {"batch": 1}, random_weights=True)
    return pt.partition(graph, pt.soc("sd8gen3-qnn"))


def computing_in(plan: Plan, dtype: str) -> Plan:
    """The same placement, the accelerators computing in another dtype."""

    def at(location: Location) -> Location:
        return location if location.unit == plan.host.unit else Location(location.unit, dtype)

    return replace(
        plan,
        operators=tuple(replace(o, dtype=at(o.location).dtype) for o in plan.operators),
        transfers=tuple(replace(t, source=at(t.source), target=at(t.target)) for t in plan.transfers),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "least_db", "most_db"),
    [
        ("float32", 100, np.inf),
        ("float16", 35, 70),
        ("bfloat16", 15, 45),
        ("w8a16", 25, 60),
        ("w4a16", 5, 40),
        ("int8", 5, 30),
    ],
)
def test_fewer_bits_give_a_noisier_output(plan: Plan, dtype: str, least_db: float, most_db: float) -> None:
    feeds = random_feeds(plan.graph)
    reference = run(plan.graph, feeds)["logits"]
    outputs = execute(computing_in(plan, dtype), feeds).outputs["logits"]
    assert outputs.dtype == np.float32
    assert least_db <= difference("logits", reference, outputs).snr_db <= most_db


def test_a_quantised_tensor_moves_as_its_codes(plan: Plan) -> None:
    feeds = random_feeds(plan.graph)
    image = feeds["image"].size
    assert execute(computing_in(plan, "int8"), feeds).transferred_bytes == image + 4 * 1000
    assert execute(computing_in(plan, "float16"), feeds).transferred_bytes == 2 * image + 4 * 1000


def test_ranges_given_by_the_user_are_the_ones_used(plan: Plan) -> None:
    feeds = random_feeds(plan.graph)
    quantised = computing_in(plan, "int8")
    narrow = {name: replace(r, low=r.low / 9, high=r.high / 9) for name, r in pt.calibrate(plan, [feeds]).items()}
    own = execute(quantised, feeds).outputs["logits"]
    assert not np.array_equal(own, execute(quantised, feeds, narrow).outputs["logits"])
    with pytest.raises(ModelError, match="calibration did not see it"):
        execute(quantised, feeds, {})


def test_the_noisiest_operators_are_found_and_none_computes_in_float32(plan: Plan) -> None:
    feeds = random_feeds(plan.graph)
    ranges = pt.calibrate(plan, [feeds])
    noise = noise_of_operators(computing_in(plan, "int8"), feeds, ranges)
    assert [n.snr_db for n in noise] == sorted(n.snr_db for n in noise)
    assert {n.node for n in noise} == {o.node for o in plan.operators if o.unit == "npu"}
    assert noise_of_operators(computing_in(plan, "float32"), feeds, {}) == ()


def test_the_same_feeds_give_the_same_bits(plan: Plan) -> None:
    feeds = random_feeds(plan.graph)
    first, second = (execute(plan, feeds).outputs["logits"] for _ in range(2))
    assert np.array_equal(first, second)
