# SPDX-License-Identifier: Apache-2.0
"""Everything the gateway and the retailer's client can refuse or fail at, one class per condition.

`Refusal`s end as HTTP answers, and `gateway.problems` alone turns them into one; the rest end a command.
"""

from dataclasses import dataclass
from typing import ClassVar

from koma.errors import GatewayError, PullError


class StartError(GatewayError):
    """A part of the gateway did not start, did not answer in time, or ended by itself."""

    code = "gateway.start"


class ProgramMissingError(GatewayError):
    """A program that the gateway runs (nginx, redis-server) is not on this machine."""

    code = "gateway.program_missing"


class RegistrationError(GatewayError):
    """A client's registration is not acceptable as given."""

    code = "gateway.registration"


class FourEyesError(GatewayError):
    """Whoever proposed a change must not approve it."""

    code = "gateway.four_eyes"


class KeyFormError(GatewayError):
    """A key or certificate is not of a kind that the gateway accepts."""

    code = "gateway.key"


class ReplayStoreError(GatewayError):
    """The replay memory cannot be asked, so nothing that must be seen once can be let through."""

    code = "gateway.replay_store"


class ManifestError(GatewayError):
    """A manifest line cannot be read, or contradicts the file beside it."""

    code = "gateway.manifest"


class JoseRefusedError(GatewayError):
    """A signed text is not acceptable; the reason is for the audit only."""

    code = "gateway.jose"


class AssertionRefusedError(JoseRefusedError):
    """An assertion that a registered key signed is not acceptable all the same.

    Args:
        message: for the audit.
        client_id: whose key signed it.

    """

    def __init__(self, message: str, client_id: str) -> None:
        """Keep whose it is."""
        super().__init__(message)
        self.client_id = client_id


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong part of a request, by JSON pointer or `#/query/<name>`."""

    pointer: str
    code: str
    detail: str
    detail_ja: str


class Refusal(GatewayError):  # noqa: N818  it is an answer, not a fault of the program
    """An HTTP answer other than success; `problem` names the entry of `gateway.problems`.

    Args:
        reason: for the audit; never sent.
        errors: what is wrong where, for 422.
        headers: additional response headers.

    """

    code = "gateway.refused"
    problem: ClassVar[str] = "not_found"

    def __init__(
        self, reason: str, *, errors: tuple[FieldError, ...] = (), headers: dict[str, str] | None = None
    ) -> None:
        """Keep the reason apart from what is sent."""
        super().__init__(reason)
        self.reason = reason
        self.errors = errors
        self.headers = headers or {}


class MalformedRefusal(Refusal):
    """The request cannot be read."""

    problem = "request.malformed"


class TokenRefusal(Refusal):
    """No, expired, revoked or foreign access token."""

    problem = "auth.token"


class ProofRefusal(Refusal):
    """No proof, or one that does not prove possession of a registered key for this very request."""

    problem = "auth.proof"


class ScopeRefusal(Refusal):
    """The token does not carry the scope of this resource."""

    problem = "auth.scope"


class CertificateRefusal(Refusal):
    """No, unknown, expired or revoked client certificate."""

    problem = "auth.certificate"


class NotFoundRefusal(Refusal):
    """RET-005: never was, not yet published, not yours, no such route: one answer."""

    problem = "not_found"


class MethodRefusal(Refusal):
    """The resource does not know the method."""

    problem = "request.method"


class FormatRefusal(Refusal):
    """No representation that the client accepts."""

    problem = "format.unsupported"


class CursorGoneRefusal(Refusal):
    """What the cursor points at is no longer kept."""

    problem = "feed.cursor_gone"


class TooLargeRefusal(Refusal):
    """The body is larger than the route allows."""

    problem = "request.too_large"


class MediaTypeRefusal(Refusal):
    """The body is not of the kind the route reads."""

    problem = "request.media_type"


class RangeRefusal(Refusal):
    """The range lies outside the object."""

    problem = "request.range"


class InvalidRefusal(Refusal):
    """The request can be read, but a value in it is not acceptable."""

    problem = "request.invalid"


class InnerRefusal(Refusal):
    """The inner zone does not answer."""

    problem = "zone.inner_unavailable"


class OverloadRefusal(Refusal):
    """The gateway has more to do than it may queue, or met a fault of its own."""

    problem = "zone.overload"


class ReplayStoreRefusal(Refusal):
    """The replay memory does not answer, and this may not pass without it."""

    problem = "zone.replay_store"


class PullRefusedError(PullError):
    """The gateway refused the client."""

    code = "pull.refused"


class PullConnectionError(PullError):
    """The gateway could not be reached, or went away and did not come back."""

    code = "pull.connection"


class PullMismatchError(PullError):
    """What was fetched is not what was announced: size, digest, signature, row count or names differ."""

    code = "pull.mismatch"


class PullFormatError(PullError):
    """A delivery file cannot be read."""

    code = "pull.format"


class PullStateError(PullError):
    """The client's own state or ledger cannot be read or written, or belongs to somebody else."""

    code = "pull.state"
