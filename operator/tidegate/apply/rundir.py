"""What has to be in the run directory before NGINX starts: folders, and a certificate for want of another."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tidegate.agent.rundir import SHARED_MODE
from tidegate.render.runtime import PEM_FOLDER

OWN_FOLDERS = ("state", "streams", "tls", PEM_FOLDER, "users")
AGENT_FOLDERS = ("conf", "logs", "tmp")
SAFE_PATH = re.compile(r"/[A-Za-z0-9._/+-]*")
LONGEST = 90  # a Unix socket's path has at most 107 bytes


class RunDirectoryError(Exception):
    """The run directory cannot be used; the message says why."""


def default_run_dir() -> Path:
    """Under the user's runtime directory, else the state directory; for root under /run."""
    if os.geteuid() == 0:
        return Path("/run/tidegate")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "tidegate"
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "tidegate"


def check_path(run_dir: Path) -> None:
    """Raises RunDirectoryError for a path that NGINX's configuration or a socket cannot hold."""
    text = str(run_dir)
    if not SAFE_PATH.fullmatch(text):
        raise RunDirectoryError(f"--run-dir: found {text!r}, allowed: letters, digits and ._/+-")
    if len(text) > LONGEST:
        raise RunDirectoryError(f"--run-dir: found {len(text)} characters, allowed: {LONGEST}")


def worker_dir(run_dir: Path) -> Path:
    """A folder beside the run directory for workers that run as another user.

    What a worker can write must not be what NGINX's master, who is root, reads as its configuration.
    """
    return run_dir.with_name(run_dir.name + ".workers")


def prepare(run_dir: Path, worker_user: str | None, *, shared: bool = False) -> None:
    """Make the folders (0700) and the default certificate. Raises RunDirectoryError.

    NGINX's workers read files of users and write temporary ones: of another user, they get a folder of their own.
    `shared`: the agent is another user of this group. It reads what is written here, and has folders of its own.
    """
    check_path(run_dir)
    try:
        if shared:
            os.umask(0o027)
            _make_shared(run_dir)
        else:
            run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in OWN_FOLDERS if shared else (*OWN_FOLDERS, *AGENT_FOLDERS):
            (run_dir / name).mkdir(exist_ok=True, mode=0o750 if shared else 0o700)
        certificate = run_dir / "tls" / "default.pem"
        if not certificate.exists():
            certificate.touch(mode=0o640 if shared else 0o600)
            certificate.write_bytes(self_signed())
        quic_key = run_dir / "tls" / "quic.key"
        if not quic_key.exists():
            quic_key.touch(mode=0o640 if shared else 0o600)
            quic_key.write_bytes(os.urandom(64))
        if worker_user is not None:
            place = worker_dir(run_dir)
            for folder in (place, place / "streams", place / "users", place / "tmp"):
                folder.mkdir(exist_ok=True, mode=0o700)
                shutil.chown(folder, worker_user)
    except OSError as error:
        raise RunDirectoryError(f"the run directory {run_dir} cannot be used: {error}") from error


def _make_shared(run_dir: Path) -> None:
    """Whichever of the two comes first makes it; a volume is there already."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        run_dir.mkdir()
        run_dir.chmod(SHARED_MODE)


class Lock:
    """Held by the one control plane of a run directory, for its life; names its process to others."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "control.lock"
        self._run_dir = run_dir
        self._file: int | None = None

    def take(self) -> None:
        """Raises RunDirectoryError when another control plane has it."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise RunDirectoryError(
                f"the run directory {self._run_dir} is in use by another tidegate (process {holder}): "
                "end that one, or choose another --run-dir"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def give_up(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def holder(self) -> int | None:
        """The process that has it, or None. Raises RunDirectoryError."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RunDirectoryError(
                f"the run directory {self._run_dir} cannot be used: {error.strerror or error}"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(file, 32).decode(errors="replace").strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(file)
        return None


def closed_parent(run_dir: Path) -> Path | None:
    """The first folder above the run directory that other users cannot pass, or None."""
    return next((parent for parent in run_dir.parents if not parent.stat().st_mode & 0o001), None)


def self_signed() -> bytes:
    """Key and certificate in PEM, as the retired controller makes them: RSA 2048, one year, `ingress.local`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme Co"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Kubernetes Ingress Controller Fake Certificate"),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("ingress.local")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem) + private
