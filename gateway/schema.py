# SPDX-License-Identifier: Apache-2.0
"""Shapes of the answers, for the OpenAPI description; the bodies themselves are made inside and pass unread."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Instant = str


class Shape(BaseModel):
    """Base of all shapes: no member that is not described."""

    model_config = ConfigDict(extra="forbid")


class FieldErrorShape(Shape):
    """One wrong part of a request."""

    pointer: str = Field(examples=["#/query/limit"])
    code: str
    detail: str
    detail_ja: str


class ProblemShape(Shape):
    """RFC 9457 problem."""

    type: str = Field(examples=["/v1/problems/not_found"])
    title: str
    status: int
    code: str = Field(examples=["not_found"])
    detail: str
    detail_ja: str
    trace_id: str = Field(examples=["0af7651916cd43dd8448eb211c80319c"])
    errors: list[FieldErrorShape]
    retry_after: int | None = Field(default=None, description="Seconds; with 429 and 503, equal to Retry-After.")


class FileShape(Shape):
    """A file of a release."""

    url: str = Field(examples=["https://localhost:8443/v1/files/10013/W41110202608221630000001.zip"])
    media_type: Literal["application/zip", "application/vnd.apache.parquet"]
    bytes: int = Field(ge=0)
    rows: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ClosedShape(Shape):
    """What a slot held when it was closed."""

    expected: int = Field(ge=0)
    available: int = Field(ge=0)
    missing: int = Field(ge=0)


class ReleaseShape(Shape):
    """What one retailer got at one instant for one slot, day or month and revision. Later revisions replace cells."""

    id: str
    retailer_code: str = Field(pattern="^[0-9]{5}$")
    product: Literal["W41110", "W41120", "W51220"]
    kind: Literal["split", "closing", "revision", "daily", "monthly"]
    start: Instant = Field(alias="from", examples=["2026-08-22T16:30:00+09:00"])
    to: Instant = Field(examples=["2026-08-22T17:00:00+09:00"])
    slot_code: int | None = Field(ge=1, le=48, examples=[34], description="Null for a day and for a month.")
    revision: int = Field(ge=0, le=99)
    issued_at: Instant
    supersedes: list[str]
    rows: int = Field(ge=0)
    available: int = Field(ge=0)
    closed: ClosedShape | None
    files: list[FileShape]
    deadline_at: Instant | None = Field(description="Null for a day and for a month.")
    published_at: Instant
    manifest: str = Field(description="Compact JWS, Ed25519, of the release less published_at and manifest.")


class FeedShape(Shape):
    """Part of the feed."""

    releases: list[ReleaseShape]
    next: str = Field(description="Cursor for `after`; opaque.")
    poll_after_s: int = Field(ge=0)


class SlotShape(Shape):
    """State of one slot."""

    state: Literal["pending", "partial", "closed", "revised"]
    releases: list[ReleaseShape]
    deadline_at: Instant
    poll_after_s: int = Field(ge=0)


class KeyShape(Shape):
    """A registered key."""

    kid: str
    not_after: Instant | None


class CertificateShape(Shape):
    """A registered certificate."""

    sha256: str
    not_after: Instant


class LimitsShape(Shape):
    """Limits that hold for everybody."""

    feed_wait_s_max: int
    feed_limit_max: int
    token_lifetime_s: int
    proof_age_s_max: int
    token_request_bytes_max: int


class MeShape(Shape):
    """What the gateway knows of the caller."""

    client_id: str
    retailers: list[str]
    scopes: list[str]
    keys: list[KeyShape]
    certificates: list[CertificateShape]
    limits: LimitsShape


class StatusShape(Shape):
    """Whether the gateway works."""

    status: Literal["ok", "degraded"]
    inner_zone: bool
    replay_store: bool


class PublicKeyShape(BaseModel):
    """Public JWK."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str


class KeySetShape(Shape):
    """JWK set."""

    keys: list[PublicKeyShape]


class ProblemPageShape(Shape):
    """Description of a kind of problem."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    detail_ja: str


class TokenShape(Shape):
    """Token answer."""

    access_token: str
    token_type: Literal["DPoP"]
    expires_in: int
    scope: str


class OAuthErrorShape(Shape):
    """RFC 6749 error."""

    error: str
    error_description: str | None = None
