# SPDX-License-Identifier: Apache-2.0
"""The token service: Authlib's grant machinery with our client authentication, binding and lifetime.

Authlib has no server for Starlette, no DPoP and no FAPI rules; what it is right for (choosing the grant, scopes, the
revocation endpoint, the shape of answers) it does, synchronously, on a request read in full beforehand.

Order of checks: size (edge and body cap), client authentication, registered proof key, proof, nonce, and only then the
replay memory: whoever is not a client cannot fill it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint

from gateway.assertions import ASSERTION_TYPE, Assertion, AssertionCheck
from gateway.clients import SCOPES, Client
from gateway.errors import AssertionRefusedError, JoseRefusedError
from gateway.proofs import Nonces, Proof, proof_nonce, proof_thumbprint, verify_proof
from gateway.replay import ReplayMemory
from gateway.tokens import LIFE_S, AccessToken, TokenKeys
from koma.clock import Clock

METHOD = "private_key_jwt"
CLIENT_FAILED = "client authentication failed"
TOKEN_PATH = "/oauth2/token"  # noqa: S105  an address
REVOCATION_PATH = "/oauth2/revoke"

Headers = list[tuple[str, str]]
Record = Callable[[str, str, str, str], None]
"""Takes decision, client id or empty text, reason, and trace id."""


@dataclass(frozen=True, slots=True)
class OAuthAnswer:
    """Answer under `/oauth2/`: status, JSON body, headers."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class InvalidProofError(OAuth2Error):  # type: ignore[misc]  # Authlib ships no types
    """RFC 9449 5: the proof is not acceptable."""

    error = "invalid_dpop_proof"
    description = "one fresh proof for this method and address, signed with a registered key, is needed"


class UseNonceError(OAuth2Error):  # type: ignore[misc]  # Authlib ships no types
    """RFC 9449 8: the proof lacks the server's nonce."""

    error = "use_dpop_nonce"
    description = "send the proof again with the nonce of the DPoP-Nonce header"

    def __init__(self, nonce: str) -> None:
        """Keep the nonce for the header."""
        super().__init__()
        self.nonce = nonce

    def get_headers(self) -> Headers:
        """Add the nonce to Authlib's headers."""
        return [*super().get_headers(), ("DPoP-Nonce", self.nonce)]


class _Request(OAuth2Request):  # type: ignore[misc]  # Authlib ships no types
    """A token request read in full."""

    def __init__(self, address: str, form: Mapping[str, str], proofs: list[str], now_s: float, trace: str) -> None:
        super().__init__("POST", address, headers={})
        self.address = address
        self.payload = BasicOAuth2Payload(dict(form))
        self.proofs = proofs
        self.now_s = now_s
        self.assertion: Assertion | None = None
        self.proof: Proof | None = None
        self.reason = ""
        self.signed_by = ""
        self.trace = trace

    @property
    def form(self) -> Mapping[str, str]:
        return self.payload.data  # type: ignore[no-any-return]


class _Client(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """A registered client as Authlib asks about it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == METHOD

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib ships no types
    """client_credentials with private_key_jwt and a DPoP-bound token."""

    TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)

    def validate_token_request(self) -> None:
        super().validate_token_request()
        self.server.scope_of(self.request)
        self.server.check_proof(self.request)
        self.server.check_replay(self.request)

    def generate_token(self, **_asked: object) -> dict[str, Any]:
        return self.server.issue(self.request)  # type: ignore[no-any-return]


class _Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib ships no types
    """RFC 7009 for access tokens; a token of another client or of nobody is answered like one's own."""

    CLIENT_AUTH_METHODS = (METHOD,)
    SUPPORTED_TOKEN_TYPES = ("access_token",)

    def authenticate_token(self, request: _Request, client: _Client) -> AccessToken | None:
        self.server.check_replay(request)
        self.check_params(request, client)
        token: AccessToken | None = self.server.read_token(request.form["token"], request.now_s)
        return token if token is not None and token.client_id == client.client.id else None

    def revoke_token(self, token: AccessToken, request: _Request) -> None:
        self.server.forget(token, request.now_s)


class TokenService(AuthorizationServer):  # type: ignore[misc]  # Authlib ships no types
    """Issues and takes back tokens.

    Args:
        keys: signing keys.
        find: active client of an id.
        replay: memory of the DMZ.
        nonces: where proofs must carry a nonce; else None.
        record: told of every decision.
        clock: wall time.

    """

    def __init__(
        self,
        keys: TokenKeys,
        find: Callable[[str], Client | None],
        replay: ReplayMemory,
        nonces: Nonces | None,
        record: Record,
        clock: Clock,
    ) -> None:
        """Register the one grant, the one way to authenticate and the revocation endpoint."""
        super().__init__(scopes_supported=SCOPES)
        self._keys, self._replay, self._nonces = keys, replay, nonces
        self._record, self._clock = record, clock
        self._assertions = AssertionCheck(keys.issuer, find)
        self.register_client_auth_method(METHOD, self._authenticate)
        self.register_grant(_Grant)
        self.register_endpoint(_Revocation)

    def token(self, form: Mapping[str, str], proofs: list[str], trace: str) -> OAuthAnswer:
        """Answer a token request; the decision is on record under the trace id.

        Raises:
            ReplayStoreError: the replay memory does not answer; no token without it.

        """
        request = _Request(self._keys.issuer + TOKEN_PATH, form, proofs, self._clock.now_ms() / 1000, trace)
        answer: OAuthAnswer
        if not form.get("grant_type"):
            answer = _error(InvalidRequestError("grant_type is missing"))
        else:
            answer = self.create_token_response(request)
        self._tell("token", request, answer)
        return answer

    def revoke(self, form: Mapping[str, str], trace: str) -> OAuthAnswer:
        """Answer a revocation request; the decision is on record under the trace id.

        Raises:
            ReplayStoreError: the replay memory does not answer, so nothing can be revoked.

        """
        request = _Request(self._keys.issuer + REVOCATION_PATH, form, [], self._clock.now_ms() / 1000, trace)
        answer: OAuthAnswer = self.create_endpoint_response(_Revocation.ENDPOINT_NAME, request)
        self._tell("revoke", request, answer)
        return answer

    def scope_of(self, request: _Request) -> str:
        """Scopes the token will carry: those asked for, else all that are registered.

        Raises:
            InvalidScopeError: one is not registered for the client.

        """
        registered = request.client.client.scopes
        asked = tuple(dict.fromkeys((request.payload.scope or "").split()))
        if not set(asked) <= set(registered):
            raise InvalidScopeError("the scope is not registered for this client")
        return " ".join(asked or registered)

    def check_proof(self, request: _Request) -> None:
        """Check the proof of a token request: registered key first, signature then.

        Raises:
            InvalidProofError: none, several, or not acceptable.
            UseNonceError: right, but without the nonce that is asked for.

        """
        try:
            request.proof = _proof_of(request)
        except JoseRefusedError as error:
            request.reason = error.message
            raise InvalidProofError from error
        if self._nonces is not None and not self._nonces.accepts(proof_nonce(request.proofs[0]), request.now_s):
            raise UseNonceError(self._nonces.current(request.now_s))

    def check_replay(self, request: _Request) -> None:
        """Let assertion and proof pass once.

        Raises:
            InvalidClientError: the assertion was used before.
            InvalidProofError: the proof was used before.
            ReplayStoreError: the memory does not answer.

        """
        assertion, proof, now = request.assertion, request.proof, request.now_s
        if assertion is None or not self._replay.first_use(
            "assertion", assertion.replay_name, assertion.remaining_s(now)
        ):
            request.reason = "assertion was used before"
            raise InvalidClientError
        if proof is not None and not self._replay.first_use("proof", proof.replay_name, proof.remaining_s(now)):
            request.reason = "proof was used before"
            raise InvalidProofError

    def issue(self, request: _Request) -> dict[str, Any]:
        """Token of a request that passed every check."""
        if request.proof is None:
            raise InvalidProofError
        scope = self.scope_of(request)
        token = self._keys.issue(request.client.client, scope, request.proof.thumbprint, request.now_s)
        return {"access_token": token, "token_type": "DPoP", "expires_in": LIFE_S, "scope": scope}

    def read_token(self, text: str, now_s: float) -> AccessToken | None:
        """Token of a text; None where it is none of ours or has expired."""
        try:
            return self._keys.verify(text, now_s)
        except JoseRefusedError:
            return None

    def forget(self, token: AccessToken, now_s: float) -> None:
        """Take a token back for the rest of its life."""
        self._replay.first_use("revoked", token.jti, int(token.expires_s - now_s) + 5)

    def query_client(self, client_id: str) -> None:
        """Not asked: `_authenticate` finds the client itself."""

    def save_token(self, token: Mapping[str, Any], request: _Request) -> None:
        """Nothing is stored: a token proves itself."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: _Request) -> _Request:
        """Hand on what was read beforehand."""
        return request

    def handle_response(self, status: int, body: dict[str, Any], headers: Headers) -> OAuthAnswer:
        """Shape the answer; every failed client gets the same bytes."""
        if body.get("error") == InvalidClientError.error:
            return OAuthAnswer(401, {"error": InvalidClientError.error, "error_description": CLIENT_FAILED}, {})
        kept = {name: value for name, value in headers if name == "DPoP-Nonce"}
        return OAuthAnswer(status, body, kept)

    def _tell(self, decision: str, request: _Request, answer: OAuthAnswer) -> None:
        error = str(answer.body.get("error", ""))
        reason = f"{error} {request.reason}".strip()
        self._record(f"{decision} refused" if error else decision, request.signed_by, reason, request.trace)

    def _authenticate(self, _query: object, request: _Request) -> _Client:
        form = request.form
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            request.reason = "client_assertion_type"
            raise InvalidClientError
        try:
            request.assertion = self._assertions.verify(
                form.get("client_assertion", ""), form.get("client_id"), request.now_s
            )
        except JoseRefusedError as error:
            request.reason = error.message
            request.signed_by = error.client_id if isinstance(error, AssertionRefusedError) else ""
            raise InvalidClientError from error
        request.signed_by = request.assertion.client.id
        request.client = _Client(request.assertion.client)
        return request.client  # type: ignore[no-any-return]


def _proof_of(request: _Request) -> Proof:
    """Registered key first, signature then: whoever is no client costs no signature check."""
    if len(request.proofs) != 1:
        raise JoseRefusedError("not exactly one proof")
    text = request.proofs[0]
    if not request.client.client.accepts_proof_key(proof_thumbprint(text)):
        raise JoseRefusedError("proof key is not registered")
    return verify_proof(text, method="POST", url=request.address, now_s=request.now_s, token=None)


def _error(error: OAuth2Error) -> OAuthAnswer:
    return OAuthAnswer(400, dict(error.get_body()), {})
