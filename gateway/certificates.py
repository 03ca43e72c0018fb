# SPDX-License-Identifier: Apache-2.0
"""Certificates for a machine that has none: the development CA of the edge, and the pair of the inward port.

An operator puts real files in their place; what lies there and is valid is left alone.
"""

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import KeyFormError
from gateway.places import INWARD_NAME, Places

CA_DAYS = 3650
LEAF_DAYS = 397
RENEW_DAYS = 30

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Pair:
    """Certificate and key, both PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class GatewayCertificates:
    """What the two nginx need."""

    ca: Path
    edge: Pair
    zone_ca: Path
    inner: Pair
    inward_client: Pair


def prepare_certificates(places: Places, hosts: Iterable[str], now: dt.datetime) -> GatewayCertificates:
    """Make what is missing or ends soon.

    Args:
        places: where the files lie.
        hosts: names and addresses the edge answers to.
        now: wall time, with zone.

    Raises:
        KeyFormError: a file that lies there cannot be read.

    """
    ca = Pair(places.ca, places.root / "ca-key.pem")
    edge = Pair(places.dmz / "edge.pem", places.dmz / "edge-key.pem")
    zone_ca = Pair(places.zone / "ca.pem", places.zone / "ca-key.pem")
    inner = Pair(places.inner / "inner.pem", places.inner / "inner-key.pem")
    inward = Pair(places.dmz / "inward.pem", places.dmz / "inward-key.pem")
    for folder in (places.dmz, places.inner, places.zone):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = tuple(dict.fromkeys(hosts))
    _authority(ca, "Koma development CA", now)
    _authority(zone_ca, "Koma zone CA", now)
    _leaf(edge, ca, names, now, ExtendedKeyUsageOID.SERVER_AUTH)
    _leaf(inner, zone_ca, (INWARD_NAME,), now, ExtendedKeyUsageOID.SERVER_AUTH)
    _leaf(inward, zone_ca, ("edge.koma.internal",), now, ExtendedKeyUsageOID.CLIENT_AUTH)
    return GatewayCertificates(places.ca, edge, zone_ca.certificate, inner, inward)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def make_client_pair(pair: Pair, name: str, now: dt.datetime, days: int = LEAF_DAYS) -> None:
    """Write a self-signed client certificate and its key: it is trusted by its registered fingerprint, not by a CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = _builder(subject, subject, key.public_key(), now, days)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    _write(pair, builder.sign(key, hashes.SHA256()), key)


def _authority(pair: Pair, name: str, now: dt.datetime) -> None:
    if _valid(pair, now) is not None:
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key(), now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    _write(pair, builder.sign(key, hashes.SHA256()), key)


def _leaf(
    pair: Pair, authority: Pair, names: tuple[str, ...], now: dt.datetime, purpose: x509.ObjectIdentifier
) -> None:
    issuer = _read(authority.certificate)
    held = _valid(pair, now)
    if held is not None and held.issuer == issuer.subject and _names(held) == set(names) and _issued(held, issuer):
        return
    issuer_key = _read_key(authority.key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = _builder(subject, issuer.subject, key.public_key(), now, LEAF_DAYS)
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.SubjectAlternativeName([_general(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([purpose]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    _write(pair, builder.sign(issuer_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    start = now - dt.timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in held}


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001  whatever does not verify is made anew
        return False
    return True


def _valid(pair: Pair, now: dt.datetime) -> x509.Certificate | None:
    """Certificate of a pair that lies there and does not end soon."""
    if not pair.certificate.exists() or not pair.key.exists():
        return None
    certificate = _read(pair.certificate)
    ends = certificate.not_valid_after_utc - dt.timedelta(days=RENEW_DAYS)
    return certificate if ends > now else None


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KeyFormError(f"{path} is no certificate: {error}") from error


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFormError(f"{path} is no private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFormError(f"{path} is no EC key")
    return key


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pair.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(
        pair.key,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    temporary = pair.certificate.with_name(f".{pair.certificate.name}.{os.getpid()}")
    temporary.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    temporary.replace(pair.certificate)
