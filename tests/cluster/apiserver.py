"""A real etcd and kube-apiserver on this machine, and `kubectl`; for the tests of the cluster tier.

The programs are looked for in KUBEBUILDER_ASSETS, on PATH, and in the caches of this project, where
`scripts/kube-programs.sh` builds them.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from up import free_ports

PROJECT = Path(__file__).parents[2]
NEEDED = ("etcd", "kube-apiserver", "kubectl", "helm")
START = 90.0
Manifest = dict[str, Any]


def places() -> list[Path]:
    """Where programs may be, the best place first."""
    cache = os.environ.get("TIDEGATE_TESTCLUSTER_CACHE", str(Path.home() / ".cache" / "tidegate-testcluster"))
    named = os.environ.get("KUBEBUILDER_ASSETS")
    path = [Path(item) for item in os.environ.get("PATH", "").split(os.pathsep) if item]
    return [*([Path(named)] if named else []), *path, PROJECT / ".cache" / "kube" / "bin", Path(cache) / "bin"]


def find(program: str) -> Path | None:
    return next((place / program for place in places() if os.access(place / program, os.X_OK)), None)


def missing() -> list[str]:
    return [program for program in NEEDED if find(program) is None]


def program(name: str) -> str:
    found = find(name)
    assert found is not None, f"{name} is missing"
    return str(found)


def until(condition: Callable[[], Any], timeout: float, what: str | Callable[[], object] = "") -> Any:
    """What the condition says as soon as it is true."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not so after {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.05)


class Authority:
    """A certificate authority for one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test cluster")])
        self._certificate = self._sign(self._name, self._key, ca=True)
        (folder / "ca.crt").write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, user: str, group: str = "", addresses: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """A certificate and its key, as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        rows = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            rows.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        certificate = self._sign(x509.Name(rows), key, addresses=addresses)
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        return paths

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        ca: bool = False,
        addresses: tuple[str, ...] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if addresses:
            names: list[x509.GeneralName] = [x509.IPAddress(ip_address(item)) for item in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


class ApiServer:
    """Started by `start`; `stop` and `start` again keep what is stored."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tgk", dir="/tmp"))
        self.folder.chmod(0o755)
        self.etcd_port, self.etcd_peer, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self.authority = Authority(self.folder)
        self.kubeconfig = self.kubeconfig_of("admin", "system:masters")
        self.audit = self.folder / "audit.log"
        (self.folder / "audit.yaml").write_text(AUDIT)
        self.authority.issue("server", user="kube-apiserver", addresses=("127.0.0.1", "10.0.0.1"))
        self.authority.issue("sa", user="service-accounts")
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self.flags: list[str] = []

    def kubeconfig_of(self, user: str, group: str = "") -> Path:
        """A kubeconfig of a user with a certificate of its own."""
        certificate, key = self.authority.issue(f"user-{user.replace(':', '-')}", user=user, group=group)
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "c", "cluster": {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}}
            ],
            "users": [{"name": "u", "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self) -> ApiServer:
        if self._etcd is None:
            self._etcd = self._spawn(
                "etcd",
                f"--data-dir={self.folder}/etcd",
                f"--listen-client-urls=http://127.0.0.1:{self.etcd_port}",
                f"--advertise-client-urls=http://127.0.0.1:{self.etcd_port}",
                f"--listen-peer-urls=http://127.0.0.1:{self.etcd_peer}",
                "--unsafe-no-fsync",
                "--quota-backend-bytes=8589934592",
            )
        self._server = self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder}/server.crt",
            f"--tls-private-key-file={self.folder}/server.key",
            f"--client-ca-file={self.folder}/ca.crt",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/sa.key",
            f"--service-account-signing-key-file={self.folder}/sa.key",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={self.folder}/audit.yaml",
            f"--audit-log-path={self.audit}",
            "--watch-cache=true",
            *self.flags,
        )
        until(self._ready, START, "the API server does not start")
        return self

    def _spawn(self, name: str, *flags: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        return subprocess.Popen([program(name), *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ready(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            raise AssertionError((self.folder / "kube-apiserver.log").read_text()[-3000:])
        done = subprocess.run(
            [program("kubectl"), "--kubeconfig", self.kubeconfig, "get", "--raw", "/readyz"], capture_output=True
        )
        return done.returncode == 0 and done.stdout == b"ok"

    def stop(self) -> None:
        """The API server alone; what it stored stays."""
        if self._server is not None:
            self._server.terminate()
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None

    @contextlib.contextmanager
    def stand_in(self) -> Iterator[ApiServer]:
        """Another API server on the same store, on a port that nobody else knows."""
        other = ApiServer.__new__(ApiServer)
        other.__dict__.update(self.__dict__)
        other.port = free_ports(1)[0]
        other.url = f"https://127.0.0.1:{other.port}"
        other.kubeconfig = other.kubeconfig_of("stand-in", "system:masters")
        other.start()
        try:
            yield other
        finally:
            other.stop()

    def compact(self) -> None:
        """Forget former versions: a watch that would go on from one of them is answered 410."""
        store = f"http://127.0.0.1:{self.etcd_port}/v3"
        revision = _post(f"{store}/kv/range", {"key": "AA=="})["header"]["revision"]
        _post(f"{store}/kv/compaction", {"revision": revision, "physical": True})

    def close(self) -> None:
        for process in (self._server, self._etcd):
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- kubectl ------------------------------------------------------------------------------------------------------

    def kubectl(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """What kubectl prints (and says, if it may fail)."""
        done = subprocess.run(
            [program("kubectl"), "--kubeconfig", str(self.kubeconfig), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 or not check, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *manifests: Manifest | list[Manifest]) -> str:
        return self.kubectl("apply", "--server-side", "-f", "-", stdin=_documents(manifests))

    def try_to_apply(self, *manifests: Manifest | list[Manifest]) -> str:
        """What kubectl says of manifests that may be refused."""
        return self.kubectl("apply", "-f", "-", stdin=_documents(manifests), check=False)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.kubectl("delete", kind, name, "-n", namespace, "--wait=false")

    def get(self, kind: str, name: str, namespace: str = "default") -> Manifest:
        return dict(json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--show-managed-fields")))

    def items(self, kind: str, namespace: str = "") -> list[Manifest]:
        where = ["-n", namespace] if namespace else ["-A"]
        return list(json.loads(self.kubectl("get", kind, *where, "-o", "json"))["items"])

    def asked(self, user: str) -> list[dict[str, Any]]:
        """The entries of the audit log about a user's requests, but for kubectl's."""
        found = []
        for line in self.audit.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if entry["user"].get("username") == user and not entry.get("userAgent", "").startswith("kubectl"):
                    found.append(entry)
        return found

    def forbidden(self, user: str) -> list[str]:
        """What the audit log says that a user was not allowed to do."""
        refused = (entry for entry in self.asked(user) if entry.get("responseStatus", {}).get("code") == 403)
        return [f"{entry['verb']} {entry['requestURI']}" for entry in refused]


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def _documents(manifests: tuple[Manifest | list[Manifest], ...]) -> str:
    flat = [one for item in manifests for one in (item if isinstance(item, list) else [item])]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": flat})
