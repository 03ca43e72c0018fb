# SPDX-License-Identifier: Apache-2.0
"""Every error the gateway answers outside `/oauth2/`, and the one place where a refusal becomes HTTP.

The edge answers some of them itself (RFC 9457, same bytes but for the trace id): its configuration is rendered from
this table, so that the two can not drift apart.
"""

import json
from dataclasses import dataclass

from starlette.responses import Response

from gateway.errors import FieldError, Refusal

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of error: what it is called and what a person reads, in English and Japanese."""

    code: str
    status: int
    title: str
    detail: str
    detail_ja: str
    retry_after_s: int = 0
    """Seconds for 429 and 503; 0 for the rest."""

    @property
    def type(self) -> str:
        """Address of the readable description."""
        return f"/v1/problems/{self.code}"


_ALL = (
    Problem(
        "request.malformed",
        400,
        "Malformed request",
        "The request cannot be read as HTTP of the expected form.",
        "リクエストの形式が正しくありません。",
    ),
    Problem(
        "auth.token",
        401,
        "Access token needed",
        "Send a valid access token as Authorization: DPoP. Tokens live 300 seconds.",
        "有効なアクセストークンが必要です。有効期間は300秒です。",
    ),
    Problem(
        "auth.proof",
        401,
        "Proof of possession needed",
        "Send one fresh DPoP proof for exactly this method and address, signed with the registered key.",
        "このメソッドとアドレスに対する新しいDPoP証明が1つ必要です。登録済みの鍵で署名してください。",
    ),
    Problem(
        "auth.scope",
        403,
        "Scope missing",
        "The access token does not carry the scope of this resource.",
        "アクセストークンにこのリソースのスコープがありません。",
    ),
    Problem(
        "auth.certificate",
        403,
        "Client certificate refused",
        "No, unknown, expired or revoked client certificate.",
        "クライアント証明書がない、未登録、期限切れ、または失効しています。",
    ),
    Problem("not_found", 404, "Not found", "There is nothing here for you.", "該当するものはありません。"),
    Problem(
        "request.method",
        405,
        "Method not allowed",
        "This resource does not know the method.",
        "このリソースではそのメソッドを使えません。",
    ),
    Problem(
        "format.unsupported",
        406,
        "No such format",
        "The resource has no representation of the media types in Accept.",
        "Acceptに指定された形式では提供していません。",
    ),
    Problem(
        "feed.cursor_gone",
        410,
        "Cursor no longer kept",
        "Start again without a cursor; releases are applied by id, so nothing counts twice.",
        "カーソルは保持期間を過ぎました。カーソルなしで最初から取得してください。",
    ),
    Problem(
        "request.too_large",
        413,
        "Body too large",
        "The body is larger than this route accepts.",
        "リクエスト本文が上限を超えています。",
    ),
    Problem(
        "request.media_type",
        415,
        "Unknown media type",
        "The body is not of a media type that this route reads.",
        "リクエスト本文の形式に対応していません。",
    ),
    Problem(
        "request.range",
        416,
        "Range not satisfiable",
        "The range lies outside the object.",
        "指定された範囲がファイルの外にあります。",
    ),
    Problem(
        "request.invalid",
        422,
        "Invalid value",
        "A value of the request is not acceptable; see errors.",
        "リクエストの値が正しくありません。errorsを参照してください。",
    ),
    Problem(
        "limit.rate",
        429,
        "Too many requests",
        "Wait for retry_after seconds before the next request.",
        "リクエストが多すぎます。retry_after秒待ってください。",
        retry_after_s=5,
    ),
    Problem(
        "zone.inner_unavailable",
        503,
        "Inner zone unavailable",
        "The inner zone does not answer. Try again after retry_after seconds.",
        "内部ゾーンが応答しません。retry_after秒後に再試行してください。",
        retry_after_s=5,
    ),
    Problem(
        "zone.overload",
        503,
        "Overloaded",
        "The gateway cannot serve this now. Try again after retry_after seconds.",
        "ゲートウェイが混雑しています。retry_after秒後に再試行してください。",
        retry_after_s=5,
    ),
    Problem(
        "zone.replay_store",
        503,
        "Replay memory unavailable",
        "Proofs cannot be checked for replay now. Try again after retry_after seconds.",
        "リプレイ検査ができません。retry_after秒後に再試行してください。",
        retry_after_s=5,
    ),
)

PROBLEMS = {problem.code: problem for problem in _ALL}


def body(problem: Problem, trace_id: str, errors: tuple[FieldError, ...] = ()) -> str:
    """JSON text of a problem; the edge's pages come from here too, with nginx's variable as trace id."""
    content: dict[str, object] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "detail_ja": problem.detail_ja,
        "trace_id": trace_id,
        "errors": [
            {"pointer": each.pointer, "code": each.code, "detail": each.detail, "detail_ja": each.detail_ja}
            for each in errors
        ],
    }
    if problem.retry_after_s:
        content["retry_after"] = problem.retry_after_s
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def answer(refusal: Refusal, trace_id: str) -> Response:
    """HTTP response of a refusal: nothing of its reason leaves the house."""
    problem = PROBLEMS[refusal.problem]
    headers = {"Cache-Control": "no-store", **refusal.headers}
    if problem.retry_after_s:
        headers["Retry-After"] = str(problem.retry_after_s)
    return Response(body(problem, trace_id, refusal.errors), problem.status, headers, MEDIA_TYPE)


def page(problem: Problem) -> dict[str, object]:
    """Readable description under `/v1/problems/<code>`."""
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "detail_ja": problem.detail_ja,
    }
