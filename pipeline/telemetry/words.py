# SPDX-License-Identifier: Apache-2.0
"""What pages say, in both languages at once; words are those of the glossary."""

from dataclasses import dataclass
from typing import Final

from koma.slots import format_jst
from pipeline.ledger.model import STAGES
from pipeline.ledger.promise import NOTICE, PAGE, TICKET


@dataclass(frozen=True, slots=True)
class Both:
    """A text in English and in Japanese."""

    en: str
    ja: str

    def __add__(self, other: "Both") -> "Both":
        """Put one text behind another."""
        return Both(self.en + other.en, self.ja + other.ja)


def same(text: str) -> Both:
    """Return what reads the same in both: numbers, codes, times."""
    return Both(text, text)


AREAS: Final = {
    "01": Both("Hokkaido", "北海道"),
    "02": Both("Tohoku", "東北"),
    "03": Both("Tokyo", "東京"),
    "04": Both("Chubu", "中部"),
    "05": Both("Hokuriku", "北陸"),
    "06": Both("Kansai", "関西"),
    "07": Both("Chugoku", "中国"),
    "08": Both("Shikoku", "四国"),
    "09": Both("Kyushu", "九州"),
    "10": Both("Okinawa", "沖縄"),
}
CAUSES: Final = {
    "not_collected": Both("not collected", "未収集"),
    "waiting_for_pair": Both("waiting for the read before", "前の指示数待ち"),
    "refused": Both("meter ran backward", "逆転"),
    "quarantined": Both("in quarantine", "隔離中"),
    "master_mismatch": Both("not in the master", "マスタ不一致"),
    "computed_not_published": Both("computed, not published", "算出済み・未公開"),
    "published_not_fetched": Both("published, not fetched", "公開済み・未取得"),
}
TO_DO: Final = {
    "not_collected": Both("ask the head-end for these meters", "検針システム（HES）に該当計器の再収集を依頼"),
    "waiting_for_pair": Both("ask the head-end for the read before", "検針システムに前の指示数の再収集を依頼"),
    "refused": Both("look at the meter, and for an exchange not in the master", "計器と、未登録の計器交換を確認"),
    "quarantined": Both("koma quarantine list, repair, replay", "koma quarantine list で確認し、修正・再投入"),
    "master_mismatch": Both("bring the meters into the master", "計器をマスタに登録（koma master import）"),
    "computed_not_published": Both(
        "look at the watch's log; keep the home as it is", "処理ログを確認。データは触らずに保全"
    ),
}
STATES: Final = {
    "open": Both("open", "収集中"),
    "running": Both("running", "処理中"),
    "closed": Both("closed in time", "期限内に確定"),
    "late": Both("late", "遅延"),
    "broken": Both("over 60 minutes", "60分超過"),
    "unknown": Both("not looked at", "未集計"),
}
SEVERITIES: Final = {
    PAGE: Both("act now", "至急"),
    TICKET: Both("in working hours", "要対応"),
    NOTICE: Both("good to know", "参考"),
}
STAGE_WORDS: Final = dict(
    zip(
        STAGES,
        (
            Both("measured → handed over", "計測 → 受領"),
            Both("handed over → decoded", "受領 → 取込"),
            Both("decoded → computed", "取込 → 算出"),
            Both("computed → published", "算出 → 公開"),
            Both("published → fetched", "公開 → 取得"),
            Both("measured → published", "計測 → 公開"),
        ),
        strict=True,
    )
)


def area_name(area: str) -> Both:
    """Return an area as people call it, with its number."""
    return Both(f"{area} {AREAS[area].en}", f"{area} {AREAS[area].ja}")


def clock(ms: int) -> str:
    """Return hour and minute."""
    return format_jst(ms)[11:16]


def moment(ms: int) -> str:
    """Return month, day, hour and minute."""
    return format_jst(ms)[5:16].replace("T", " ")


def share(part: int, whole: int) -> str:
    """Return a part in percent; never rounded up to all of it, nor down to none.

    >>> [share(part, 100_000) for part in (100_000, 99_999, 50_000, 1, 0)]
    ['100%', '99.9%', '50.0%', '0.1%', '0%']
    """
    if not whole or part >= whole:
        return "100%" if whole else "–"
    return "0%" if part <= 0 else f"{min(99.9, max(0.1, round(part * 100 / whole, 1))):.1f}%"


def duration(seconds: float) -> Both:
    """Return a duration in minutes, or in hours where it is long.

    >>> duration(90).en, duration(7_300).ja, duration(12).en
    ('1 min', '2時間1分', '12 s')
    """
    whole = int(seconds)
    if whole < 60:
        return Both(f"{whole} s", f"{whole}秒")
    hours, minutes = divmod(whole // 60, 60)
    return (
        Both(f"{hours} h {minutes} min", f"{hours}時間{minutes}分") if hours else Both(f"{minutes} min", f"{minutes}分")
    )
