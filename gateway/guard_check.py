# SPDX-License-Identifier: Apache-2.0
"""The second lock: who may have what, decided inside from the retailer's own proof and the inner book alone.

Whoever owns the DMZ, with the token service's signing key, still lacks the retailer's private key; so nothing in the
token is believed. What the token says is compared with what is registered, and only because the proof is bound to that
very token.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from cryptography import x509
from starlette.requests import Request

from gateway import jose
from gateway.clients import Client, Registry
from gateway.errors import (
    CertificateRefusal,
    JoseRefusedError,
    NotFoundRefusal,
    ReplayStoreError,
    ScopeRefusal,
)
from gateway.names import RETAILER
from gateway.proofs import proof_thumbprint, verify_proof
from gateway.registrations import Registrations, certificate_of
from gateway.replay import ReplayMemory
from gateway.requests import CERTIFICATE, bound_token, keep_caller, proof_refusal, single, token_refusal
from gateway.tokens import read_token
from koma.clock import Clock

STANDALONE_AGE_S = 10
"""How old a proof may be while the replay memory is gone."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, as far as the inner zone is concerned."""

    client: Client
    key: str
    """Thumbprint of the proof key, or fingerprint of the certificate."""

    def must_hold(self, retailer: str) -> None:
        """RET-004: only codes that are registered inside for the client. RET-005: else as if there were nothing.

        Raises:
            NotFoundRefusal: not one of its codes.

        """
        if not RETAILER.fullmatch(retailer) or retailer not in self.client.retailers:
            raise NotFoundRefusal("RET-004: code is not the client's")


class GuardCheck:
    """Checks visitors of the inward port.

    Args:
        base: `KOMA_GATEWAY_URL`; proofs name addresses below it.
        book: registrations of the inner zone.
        replay: the guard's own replay memory.
        clock: wall time.

    """

    def __init__(self, base: str, book: Registrations, replay: ReplayMemory, clock: Clock) -> None:
        """Keep all four."""
        self._base, self._book, self._replay, self._clock = base, book, replay, clock

    def registry(self) -> Registry:
        """Clients as they stand now."""
        return self._book.registry()

    def by_proof(self, request: Request, scope: str) -> Visitor:
        """Visitor of a request that carries a token and a proof.

        Raises:
            TokenRefusal: the token is not of the client that the proof key belongs to, or is outdated.
            ProofRefusal: the proof is not right for this request, was used, or its key is not registered.
            ScopeRefusal: the client has no such scope.

        """
        token, proof_text = bound_token(request)
        now = self._clock.now_ms() / 1000
        try:
            client = self.registry().by_proof_key(proof_thumbprint(proof_text))
            if client is None:
                raise token_refusal("no active client of this proof key")
            url = self._base + request.scope["raw_path"].decode("ascii")
            proof = verify_proof(proof_text, method=request.method, url=url, now_s=now, token=token)
        except JoseRefusedError as error:
            raise proof_refusal(error.message) from error
        try:
            claims = read_token(jose.unverified(token)[1])
        except JoseRefusedError as error:
            raise token_refusal(error.message) from error
        keep_caller(request, client.id, proof.thumbprint)
        if (claims.client_id, claims.epoch, claims.proof_key) != (client.id, client.epoch, proof.thumbprint):
            raise token_refusal("token of another client, epoch or key")
        if claims.expires_s <= now:
            raise token_refusal("token expired")
        if scope not in claims.scopes or not client.allows(scope):
            raise ScopeRefusal(f"scope {scope}")
        recent = proof.issued_s >= now - STANDALONE_AGE_S
        try:
            fresh = self._replay.first_use("proof", proof.replay_name, proof.remaining_s(now), alone=recent)
        except ReplayStoreError as error:
            raise proof_refusal("replay memory is gone and the proof is not fresh") from error
        if not fresh:
            raise proof_refusal("proof was used before")
        return Visitor(client, proof.thumbprint)

    def by_certificate(self, request: Request, scope: str) -> Visitor:
        """Visitor of the mutual-TLS profile.

        The edge says which certificate it saw; what is released on that word alone is bounded by the registration: a
        stated residual risk of this profile.

        Raises:
            CertificateRefusal: no, unknown, expired or revoked certificate.
            ScopeRefusal: the client has no such scope.

        """
        fingerprint = certificate_fingerprint(request)
        client = self.registry().by_certificate(fingerprint, self._clock.now_ms() / 1000)
        keep_caller(request, client.id if client is not None else "", fingerprint)
        if client is None:
            raise CertificateRefusal("certificate of no active client, or not valid now")
        if not client.allows(scope):
            raise ScopeRefusal(f"scope {scope}")
        return Visitor(client, fingerprint)

    def still(self, visitor: Visitor, retailers: tuple[str, ...]) -> bool:
        """Whether a visitor that was kept waiting may still have what it asked for."""
        client = self.registry().active(visitor.client.id)
        return client is not None and client.epoch == visitor.client.epoch and set(retailers) <= set(client.retailers)


def certificate_fingerprint(request: Request) -> str:
    """SHA-256 of the certificate that the edge saw.

    Raises:
        CertificateRefusal: none, or not readable.

    """
    text = single(request, CERTIFICATE)
    if not text:
        raise CertificateRefusal("no certificate")
    try:
        return certificate_of(x509.load_pem_x509_certificate(unquote_to_bytes(text))).sha256
    except ValueError as error:
        raise CertificateRefusal("unreadable certificate") from error
