# SPDX-License-Identifier: Apache-2.0
"""The error tree: one class per condition, each with a dotted code that never changes.

A message says what is wrong, a hint says how to put it right. Translation to an exit status stands in `koma.cli`,
to HTTP in the gateway, and nowhere else.
"""

from typing import ClassVar


class KomaError(Exception):
    """Something the caller can name and act on.

    Args:
        message: what is wrong, with the value, the file and the place where they are known; no closing full stop.
        hint: what to do about it; may be empty.

    """

    code: ClassVar[str] = "koma.failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep message and hint apart, so that JSON output can name both."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Read as one sentence or two: `message. hint`."""
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders whole: the hint is not an argument of Exception."""
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[KomaError], message: str, hint: str) -> KomaError:
    return kind(message, hint=hint)


class SettingError(KomaError):
    """A setting is unknown, cannot be parsed or lies outside its range."""

    code = "setting.invalid"


class IdentifierError(KomaError):
    """A supply point, meter, retailer, balancing-group or area id does not have its form."""

    code = "id.invalid"


class InstantError(KomaError):
    """A time cannot be parsed, does not lie on a slot boundary where it must, or is out of range."""

    code = "time.invalid"


class EnergyError(KomaError):
    """A text is not an exact number of dWh, or does not fit 64 bits."""

    code = "energy.invalid"


class HomeError(KomaError):
    """The home is missing, belongs to somebody else, is locked, or its content contradicts itself."""

    code = "home.invalid"


class HandoverError(KomaError):
    """A hand-over file cannot be read at all."""

    code = "handover.unreadable"


class MasterError(KomaError):
    """The master files cannot be imported, or no master stands in the home."""

    code = "master.invalid"


class DeliveryError(KomaError):
    """Delivery files cannot be written as the format demands."""

    code = "delivery.invalid"


class CompareError(KomaError):
    """The incumbent's deliveries cannot be found or read."""

    code = "compare.invalid"


class EstimateError(KomaError):
    """A day cannot be estimated, or an agreed value is not one."""

    code = "estimate.invalid"


class HistoryError(KomaError):
    """The history is damaged, or what it is to take cannot be read."""

    code = "history.invalid"


class FormatError(KomaError):
    """A foreign file cannot be read, or a format cannot carry what it is given."""

    code = "format.invalid"


class TotalsError(KomaError):
    """Loss rates or sources cannot be taken in, or a slot has no totals yet."""

    code = "totals.invalid"


class TelemetryError(KomaError):
    """What metrics, pages or reports are asked to show cannot be read."""

    code = "telemetry.invalid"


class PullError(KomaError):
    """The retailer's client could not fetch, or what it fetched is not what was announced."""

    code = "pull.failed"


class GatewayError(KomaError):
    """A part of the gateway could not be started, reached or configured."""

    code = "gateway.failed"


ERRORS: tuple[type[KomaError], ...] = (
    KomaError,
    SettingError,
    IdentifierError,
    InstantError,
    EnergyError,
    HomeError,
    HandoverError,
    MasterError,
    DeliveryError,
    CompareError,
    EstimateError,
    HistoryError,
    FormatError,
    TotalsError,
    TelemetryError,
    PullError,
    GatewayError,
)
