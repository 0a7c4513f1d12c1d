"""A Cassandra server for one test. It keeps its data when killed, and requires a password and a client certificate."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings

# The account that Cassandra creates at its first start.
USERNAME = PASSWORD = "cassandra"
YAML = """
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  keystore: {folder}/server.pem
  truststore: {folder}/ca.pem
  ssl_context_factory: {{class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}}
"""


class Server:
    """Starts and kills the server by scripts/services. `folder`: for its data, its log and the certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_certificates(folder)
        (folder / "cassandra-extra.yaml").write_text(YAML.format(folder=folder))

    def tell(self, verb: str) -> str:
        environment = os.environ | {"SVC_DIR": str(self.folder), "SVC_MODE": "native", "SVC_DURABLE": "1", "SVC_HEAP": "512m", "SVC_BASE": "14300"}
        command = [settings.BASE_DIR / "scripts/services", verb, "cassandra"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def settings(self) -> Mapping[str, str]:
        """Return the environment variables that a client needs."""
        told = dict(line.removeprefix("export ").split("=", 1) for line in shlex.split(self.tell("env"), posix=True) if "=" in line)
        return {name: value for name, value in told.items() if name.startswith("CASSANDRA_")} | {
            "CASSANDRA_USERNAME": USERNAME,
            "CASSANDRA_PASSWORD": PASSWORD,
            "CASSANDRA_TLS_CA": str(self.folder / "ca.pem"),
            "CASSANDRA_TLS_CERT": str(self.folder / "client.pem"),
            "CASSANDRA_TLS_KEY": str(self.folder / "client.pem"),
        }

    def log(self) -> str:
        return (self.folder / "log/cassandra.log").read_text()


def write_certificates(folder: Path) -> None:
    """Write the certificates of a CA, of a server for 127.0.0.1 only and of a client, and of another CA that has signed neither."""
    authority, authority_key = _certificate("CA of the tests", None)
    (folder / "ca.pem").write_bytes(_pem(authority))
    (folder / "other-ca.pem").write_bytes(_pem(_certificate("another CA", None)[0]))
    for name in ("server", "client"):
        certificate, key = _certificate(name, (authority, authority_key))
        (folder / f"{name}.pem").write_bytes(_pem(certificate) + _pem_of_key(key))


def _certificate(
    name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
