# SPDX-License-Identifier: Apache-2.0
"""The DMZ's only way inwards: it reads registrations and appends its decisions, through the edge's client certificate.

Both lie in memory only. Where the inner zone has not confirmed the registrations for a few seconds, or refusals cannot
be put on record for a minute, no token is issued.
"""

import asyncio
import json
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import httpx

from gateway.audit import Decision
from gateway.clients import EMPTY, Client, Registry, registry_of
from gateway.errors import InnerRefusal

STALE_S = 5.0
"""Age of the last confirmation from which on no token is issued."""
QUEUE_AGE_MAX_S = 60.0
QUEUE_MAX = 20_000
FLUSH_S = 0.25
BATCH = 1000

_RETRY_S = 0.2
_TIMEOUT_S = 5.0


class InwardLine:
    """Registrations from inside and decisions to the inside.

    Args:
        socket: the edge's socket for this.

    """

    def __init__(self, socket: Path) -> None:
        """Start with no client at all."""
        self.registry: Registry = EMPTY
        self._socket = socket
        self._confirmed = float("-inf")
        self._queue: deque[tuple[float, Decision]] = deque()

    @property
    def fresh(self) -> bool:
        """Whether the inner zone confirmed the registrations just now."""
        return time.monotonic() - self._confirmed <= STALE_S

    def active(self, client_id: str) -> Client | None:
        """Active client of an id, as far as the DMZ knows."""
        return self.registry.active(client_id)

    def must_answer(self) -> None:
        """Refuse where the inner zone is out of reach.

        Raises:
            InnerRefusal: registrations are not confirmed, or decisions wait too long for their record.

        """
        waits = time.monotonic() - self._queue[0][0] if self._queue else 0.0
        if not self.fresh or waits > QUEUE_AGE_MAX_S or len(self._queue) >= QUEUE_MAX:
            raise InnerRefusal("inner zone out of reach")

    def record(self, decision: Decision) -> None:
        """Queue a decision; beyond the queue's end the newest is counted by the refusal of tokens only."""
        if len(self._queue) < QUEUE_MAX:
            self._queue.append((time.monotonic(), decision))

    async def run(self) -> None:
        """Follow registrations and deliver decisions until cancelled."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://inward", timeout=_TIMEOUT_S) as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._follow(client))
            group.create_task(self._deliver(client))

    async def _follow(self, client: httpx.AsyncClient) -> None:
        while True:
            begun = time.monotonic()
            try:
                answer = await client.get("/zone/registrations", params={"version": str(self.registry.version)})
                if answer.status_code == httpx.codes.OK:
                    self.registry = registry_of(answer.content)
                elif answer.status_code != httpx.codes.NOT_MODIFIED:
                    answer.raise_for_status()
                self._confirmed = begun
            except (httpx.HTTPError, ValueError, KeyError):
                await asyncio.sleep(_RETRY_S)

    async def _deliver(self, client: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            while self._queue:
                batch = [each for _, each in list(self._queue)[:BATCH]]
                try:
                    answer = await client.post("/zone/audit", content=json.dumps([asdict(each) for each in batch]))
                    answer.raise_for_status()
                except httpx.HTTPError:
                    break
                for _ in batch:
                    self._queue.popleft()
