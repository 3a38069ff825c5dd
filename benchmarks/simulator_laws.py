"""Laws of the simulator over many random plans and loads: python -m benchmarks.simulator_laws [--plans 10000].

Exclusion, causality, work conservation, going on in one go against piece by piece, energy and time that add up, the
same outcome twice. The tests hold the same laws over fewer cases.
"""

import argparse
import time
from typing import Any

from hypothesis import HealthCheck, settings

from tests.simulator import test_engine, test_scenario_run

LAWS: tuple[tuple[str, Any], ...] = (
    ("in one go as piece by piece", test_engine.test_going_on_in_one_go_changes_nothing),
    ("exclusion, causality, work conservation", test_engine.test_every_law_holds),
    ("energy and time add up", test_scenario_run.test_energy_and_time_add_up_whatever_the_clocks_do),
    ("the same outcome twice", test_scenario_run.test_the_same_run_gives_the_same_outcome),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", type=int, default=10_000, help="Random cases of each law.")
    count = parser.parse_args().plans
    many = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    for title, law in LAWS:
        begin = time.perf_counter()
        law._hypothesis_internal_use_settings = many
        law()
        print(f"{title}: {count:,} random cases in {time.perf_counter() - begin:.0f} s, no law broken", flush=True)


if __name__ == "__main__":
    main()
