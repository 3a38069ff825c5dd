"""A session solves what a slider or a switch has changed, and as well as a study from the start does."""

from pathlib import Path

import pytest

from partita.devices import load_soc, preset_names
from partita.errors import PlacementError, StudioError
from partita.partitioner.wishes import Wishes
from partita.studies.change import changed
from partita.studies.placer import Placer
from partita.studio.knobs import knobs_of
from partita.studio.session import Session
from partita.studio.settings import Settings
from tests.studio.sessions import small_session


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return small_session(tmp_path)


def test_a_dearer_call_moves_the_model_off_the_npu(session: Session) -> None:
    cheap = session.solve(Settings(set={"units.npu.call_us": 1.0}))
    dear = session.solve(Settings(set={"units.npu.call_us": 1e6}))
    assert "npu" in {operator.unit for operator in cheap.plan.operators}
    assert "npu" not in {operator.unit for operator in dear.plan.operators}
    assert dear.plan.latency_us > session.preset.plan.latency_us >= cheap.plan.latency_us


def test_solving_one_after_the_other_gives_what_solving_alone_gives(session: Session) -> None:
    asked = [
        Settings(),
        Settings(set={"dram.bandwidth_gb_per_s": 20.0}),
        Settings(lose={"npu": ("Conv",)}),
        Settings(gain={"npu": ("Erf",)}, allow=("npu:int8",)),
        Settings(remove=("npu",)),
        Settings(objective="energy"),
    ]
    for settings in (*asked, *asked):
        alone = Placer(session.graph, settings.wishes(10.0)).place(changed(session.soc, settings.change))
        assert session.solve(settings).plan.proof.value == pytest.approx(alone.proof.value)


def test_a_unit_that_loses_an_operator_runs_none_of_it(session: Session) -> None:
    units_of_convolutions = {
        call.unit
        for name, call in session.solve(Settings(lose={"npu": ("Conv",)})).account.call_of.items()
        if session.graph.node_named[name].op == "Conv"
    }
    assert "npu" not in units_of_convolutions
    assert session.preset.account.call_of[session.graph.nodes[0].name].unit == "npu"


def test_a_unit_that_is_switched_off_is_not_used_even_if_its_types_are_allowed(session: Session) -> None:
    solved = session.solve(Settings(remove=("npu",), allow=("npu:int8",), gain={"npu": ("Erf",)}))
    assert "npu" not in {operator.unit for operator in solved.plan.operators}


def test_the_offers_are_what_the_rules_say(session: Session) -> None:
    offers = {(offer.unit, offer.op): offer for offer in session.offers}
    assert offers["npu", "Conv"].refused == 0
    assert offers["npu", "Conv"].count == 2
    assert offers["npu", "Erf"].refused == 1
    assert "Erf" in offers["npu", "Erf"].reason
    assert "cpu" not in {offer.unit for offer in session.offers}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (Settings(set={"units.npu.call_ms": 1.0}), "no number 'units.npu.call_ms'"),
        (Settings(set={"*": 1.0}), "no number"),
        (Settings(remove=("tpu",)), "no unit 'tpu'"),
        (Settings(lose={"tpu": ("Conv",)}), "no unit 'tpu'"),
        (Settings(allow=("npu:int3",)), "no type 'npu:int3'"),
    ],
)
def test_settings_name_only_what_the_soc_has(session: Session, settings: Settings, match: str) -> None:
    with pytest.raises(StudioError, match=match):
        session.solve(settings)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b'{"sett": 1}', b'{"set": {"a": "b"}}', b'{"set": {"a": NaN}}', b'{"objective": "makespan"}', b"\xff"],
)
def test_what_the_page_would_not_send_is_refused(text: bytes) -> None:
    with pytest.raises(StudioError, match="not what the page sends"):
        Settings.from_json(text)


def test_an_outdated_solve_stops_and_leaves_the_session_as_good_as_before(session: Session) -> None:
    class GoneError(Exception):
        pass

    settings = Settings(lose={"npu": ("Conv",)})
    for leaving in ("asking each unit what it takes", "working out costs", "looking for the best placement"):

        def leave(stage: str, leaving: str = leaving) -> None:
            if stage == leaving:
                raise GoneError

        with pytest.raises(GoneError):
            session.solve(settings, leave)
    fresh = Placer(session.graph, Wishes()).place(changed(session.soc, settings.change))
    assert session.solve(settings).plan.latency_us == pytest.approx(fresh.latency_us)


def test_what_cannot_be_placed_says_why(session: Session) -> None:
    every = tuple({node.op for node in session.graph.nodes})
    with pytest.raises(PlacementError, match="no unit"):
        session.solve(Settings(lose={"cpu": every, "gpu": every, "npu": every}))


@pytest.mark.parametrize("name", preset_names())
def test_every_slider_begins_at_its_number_and_holds_its_range(name: str) -> None:
    soc = load_soc(name)
    knobs = knobs_of(soc)
    assert len({knob.path for knob in knobs}) == len(knobs)
    for knob in knobs:
        assert knob.least <= knob.value <= knob.most
        assert knob.high is None or knob.high <= knob.most
        assert knob.low is None or knob.low >= knob.least or knob.low == 0
        assert knob.most > knob.least
    assert next(knob.path for knob in knobs if knob.group) == "dram.bandwidth_gb_per_s"


def test_the_drawing_has_a_place_for_every_operator_of_the_model(session: Session) -> None:
    drawing = session.drawing
    assert len(drawing.x) == len(drawing.y) == len(session.graph.nodes) == 5
    assert len(set(zip(drawing.x, drawing.y, strict=True))) == 5
    assert drawing.arrows == ((0, 1), (1, 2), (2, 3), (3, 4))
