# SPDX-License-Identifier: Apache-2.0
"""What is changed in Beam's local runner still takes hold: a later version that moves it turns these red."""

import base64
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.runners.worker import statesampler

from pipeline import beam_costs
from pipeline.exchange import Elements, Reporting, read_element, read_reports
from pipeline.runner import THREADS, new_pipeline


class Double(Reporting):
    """Reports twice each element."""

    def process(self, element: tuple[int, object]) -> Iterator[None]:
        self.report(f"{element[0]:03d}", 2 * read_element(self._work, element[0]))
        return iter(())


def test_a_graph_works_on_its_elements_and_samples_briefly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    periods: list[int] = []

    class Noted(beam_costs.BriefSampler):
        def __init__(self, prefix: str, counter_factory: object) -> None:
            super().__init__(prefix, counter_factory)
            periods.append(self.sampling_period_ms)

    beam_costs.lower_costs()
    monkeypatch.setattr(statesampler, "StateSampler", Noted)

    with new_pipeline(THREADS, 2) as pipeline:
        _ = pipeline | Elements(tmp_path, [3, 4, 5]) | beam.ParDo(Double(tmp_path))

    assert read_reports(tmp_path) == [6, 8, 10]
    assert set(periods) == {beam_costs.SAMPLING_MS}


def test_graphs_are_packed_at_the_lowest_level() -> None:
    beam_costs.lower_costs()

    packed = pickler.dumps(("a graph", list(range(100))))

    assert base64.b64decode(packed)[:4] == b"BZh1"
    assert pickler.loads(packed) == ("a graph", list(range(100)))
