# SPDX-License-Identifier: Apache-2.0
"""What was seen once and must not be seen again, and what was taken back: proofs, assertions, tokens.

Redis holds the memory (`SET … NX EX`, so that of many parallel copies exactly one passes); each process keeps a bounded
copy. Where Redis is gone, tokens are not issued; data goes on with the process's own memory and fresh proofs only.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004  that of the client, not of the system
from redis.retry import Retry

from gateway.errors import ReplayStoreError

LIFE_MAX_S = 400
"""Nothing is remembered longer, so that nobody can fill the memory for years."""
KEPT_MAX = 200_000
"""Names in a process's own memory; the oldest goes first."""

_TIMEOUT_S = 0.5
_REST_S = 1.0
"""After a failure Redis is not asked for this long, so that a hanging one does not hold up every request."""

Answer = TypeVar("Answer")


class ReplayMemory:
    """Memory of one zone.

    Args:
        address: of Redis: `unix:///path` or `redis://host:port`.
        zone: prefix that keeps the memories of two zones apart.

    """

    def __init__(self, address: str, zone: str) -> None:
        """Connect when first used."""
        once_more = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))  # a line that Redis closed meanwhile
        self._redis = Redis.from_url(
            address, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=once_more
        )
        self._resting_until = float("-inf")
        self._prefix = f"koma:{zone}"
        self._own: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def first_use(self, kind: str, name: str, life_s: int, *, alone: bool = False) -> bool:
        """Remember a name; whether it was not known before.

        Args:
            kind: of what the name is.
            name: unguessable or a digest, so that it cannot be of another kind.
            life_s: seconds to remember it for, `LIFE_MAX_S` at most.
            alone: where Redis does not answer, let this process's own memory decide.

        Raises:
            ReplayStoreError: Redis does not answer, and the own memory may not decide.

        """
        life = min(max(life_s, 1), LIFE_MAX_S)
        new_here = self.first_use_here(kind, name, life)
        try:
            new_there = self._ask(lambda: self._redis.set(f"{self._prefix}:{kind}:{name}", b"1", nx=True, ex=life))
        except ReplayStoreError:
            if alone:
                return new_here
            raise
        return new_here and bool(new_there)

    def first_use_here(self, kind: str, name: str, life_s: int) -> bool:
        """Remember a name in this process; whether it was not known before."""
        now = time.monotonic()
        own = f"{kind}:{name}"
        with self._lock:
            while self._own and (len(self._own) > KEPT_MAX or next(iter(self._own.values())) < now):
                self._own.popitem(last=False)
            ends = self._own.get(own)
            if ends is not None and ends >= now:
                return False
            self._own[own] = now + min(life_s, LIFE_MAX_S)
            self._own.move_to_end(own)
            return True

    def known(self, kind: str, name: str, *, alone: bool = False) -> bool:
        """Whether a name is remembered; `alone` as in `first_use`.

        Raises:
            ReplayStoreError: Redis does not answer, and the own memory may not decide.

        """
        with self._lock:
            if self._own.get(f"{kind}:{name}", 0.0) >= time.monotonic():
                return True
        try:
            return bool(self._ask(lambda: self._redis.exists(f"{self._prefix}:{kind}:{name}")))
        except ReplayStoreError:
            if alone:
                return False
            raise

    def answers(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._ask(self._redis.ping))
        except ReplayStoreError:
            return False

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask Redis, unless it failed just now.

        Raises:
            ReplayStoreError: it does not answer.

        """
        if time.monotonic() < self._resting_until:
            raise ReplayStoreError("replay memory: failed just now")
        try:
            return question()
        except (RedisError, OSError) as error:
            self._resting_until = time.monotonic() + _REST_S
            raise ReplayStoreError(f"replay memory: {type(error).__name__}") from error

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()
