# SPDX-License-Identifier: Apache-2.0
"""Two prices of Beam's local runner that a run of two seconds feels, brought down.

Both are fixed in the library and have no option. Should a later version move what is changed here, the change does not
take and runs are as slow as Beam makes them; a test says so.
"""

import bz2
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

from apache_beam.internal import cloudpickle_pickler
from apache_beam.runners.worker import bundle_processor, statesampler

SAMPLING_MS: Final = 10
PICKLE_LEVEL: Final = 1


class BriefSampler(statesampler.StateSampler):  # type: ignore[misc]  # Beam has no types
    """Beam's sampler of where a stage's time goes, with short breaks.

    It sleeps ever longer, up to 0.2 s, and the end of a stage waits for it to wake up: a tenth of a run would be spent
    on that.
    """

    def __init__(self, prefix: str, counter_factory: Any, sampling_period_ms: int = SAMPLING_MS) -> None:
        """Sample every few milliseconds."""
        super().__init__(prefix, counter_factory, sampling_period_ms)


@cache
def lower_costs() -> None:
    """Make the graphs of this process start and end their stages quickly.

    Graphs are packed at bzip2's level 9, which makes several megabytes of tables for a kilobyte of pickle, some forty
    times a run. Level 1 is unpacked by any bzip2.
    """
    bundle_processor.statesampler.StateSampler = BriefSampler
    cloudpickle_pickler.bz2 = SimpleNamespace(
        compress=lambda data, compresslevel=PICKLE_LEVEL: bz2.compress(data, min(compresslevel, PICKLE_LEVEL)),
        decompress=bz2.decompress,
    )
