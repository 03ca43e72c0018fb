# SPDX-License-Identifier: Apache-2.0
"""The first lock: whether a request in the DMZ comes from whom its token was issued to."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from gateway.clients import Client, Registry
from gateway.errors import JoseRefusedError, NotFoundRefusal, ReplayStoreError, ScopeRefusal
from gateway.names import RETAILER
from gateway.proofs import Nonces, proof_nonce, proof_thumbprint, verify_proof
from gateway.replay import ReplayMemory
from gateway.requests import bound_token, keep_caller, nonce_refusal, proof_refusal, token_refusal
from gateway.tokens import AccessToken, TokenKeys
from koma.clock import Clock

STANDALONE_AGE_S = 10
"""How old a proof may be while the replay memory is gone."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request, by its token and proof."""

    client: Client
    token: AccessToken

    def must_hold(self, retailer: str) -> None:
        """RET-004, and RET-005: the same answer as for what does not exist.

        Raises:
            NotFoundRefusal: not one of the client's codes.

        """
        if not RETAILER.fullmatch(retailer) or retailer not in self.client.retailers:
            raise NotFoundRefusal("RET-004: code is not the client's")


class Access:
    """Checks token and proof, both, of every request.

    Args:
        keys: of the token service.
        registry: gives the registrations as they stand now.
        replay: memory of the DMZ.
        nonces: where proofs must carry a nonce; else None.
        clock: wall time.

    """

    def __init__(
        self,
        keys: TokenKeys,
        registry: Callable[[], Registry],
        replay: ReplayMemory,
        nonces: Nonces | None,
        clock: Clock,
    ) -> None:
        """Keep all five."""
        self._keys, self._registry, self._replay = keys, registry, replay
        self._nonces, self._clock = nonces, clock

    def caller(self, request: Request, scope: str | None) -> Caller:
        """Caller of a request.

        Args:
            request: with one token and one proof.
            scope: scope of the resource; None where any token will do.

        Raises:
            TokenRefusal: the token is not valid now.
            ProofRefusal: the proof is not right for this request and token, or was used before.
            ScopeRefusal: the token lacks the scope, or its client may not read data.

        """
        text, proof_text = bound_token(request)
        now = self._clock.now_ms() / 1000
        try:
            token = self._keys.verify(text, now)
        except JoseRefusedError as error:
            raise token_refusal(error.message) from error
        client = self._registry().active(token.client_id)
        if client is None or client.epoch != token.epoch or not client.accepts_proof_key(token.proof_key):
            raise token_refusal("token of a client, epoch or key that is no longer registered")
        keep_caller(request, client.id, token.proof_key)
        self._check_proof(request, text, proof_text, token, now)
        if scope is not None and (scope not in token.scopes or not client.allows(scope)):
            raise ScopeRefusal(f"scope {scope}")
        return Caller(client, token)

    def _check_proof(self, request: Request, text: str, proof_text: str, token: AccessToken, now: float) -> None:
        url = self._keys.issuer + request.scope["raw_path"].decode("ascii")
        try:
            if proof_thumbprint(proof_text) != token.proof_key:
                raise proof_refusal("proof of another key")
            proof = verify_proof(proof_text, method=request.method, url=url, now_s=now, token=text)
        except JoseRefusedError as error:
            raise proof_refusal(error.message) from error
        if self._nonces is not None and not self._nonces.accepts(proof_nonce(proof_text), now):
            raise nonce_refusal(self._nonces.current(now))
        recent = proof.issued_s >= now - STANDALONE_AGE_S
        try:
            fresh = self._replay.first_use("proof", proof.replay_name, proof.remaining_s(now), alone=recent)
        except ReplayStoreError as error:
            raise proof_refusal("replay memory is gone and the proof is not fresh") from error
        if not fresh:
            raise proof_refusal("proof was used before")
        if self._replay.known("revoked", token.jti, alone=recent):
            raise token_refusal("token was revoked")
