"""The facts of a Soc: every number once, with its unit of measure."""

from partita.devices import facts, load_soc
from tests.devices.example_soc import make


def test_each_number_is_one_fact_under_its_path() -> None:
    found = {fact.path: fact for fact in facts(make())}
    peak = found["units.npu.peak_gmac_per_s.float16"]
    assert (peak.value, peak.low, peak.high, peak.unit, peak.kind) == (100, 50, 150, "GMAC/s", "estimated")
    assert found["units.gpu.bandwidth_gb_per_s"].unit == "GB/s"
    assert found["links.npu->cpu.sync_us"].unit == "us"
    assert found["units.npu.on_chip_bytes"].unit == "bytes"
    assert found["units.npu.tile.m"].unit == ""
    assert found["units.npu.utilisation.default"].unit == ""


def test_no_number_is_left_out_or_told_twice() -> None:
    soc = load_soc("sd8gen3-qnn")
    paths = [fact.path for fact in facts(soc)]
    tables = {path.partition(".steps.")[0] for path in paths if ".steps." in path}
    single = [path for path in paths if ".steps." not in path]
    assert len(single) == len(set(single)) == soc.to_json().count('"kind":') - len(soc.units) - len(tables)
    assert sum(".steps.clock_mhz." in path for path in paths) == 10 + 12 + 7
    assert "units.cpu.clusters.prime.clock_mhz" in paths
