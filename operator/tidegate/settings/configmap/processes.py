"""ConfigMap keys of NGINX's processes, connections and hash tables."""

from __future__ import annotations

from typing import Final

from tidegate.settings.family import Family
from tidegate.settings.nginx_types import CpuAffinity, Duration, WorkerCount
from tidegate.settings.setting import Becomes, Scope
from tidegate.settings.types import LiteralInt, WeakBool

_FAMILY: Final = Family("Processes", scope=Scope.GLOBAL, becomes=Becomes.GLOBAL)
_HASH_SIZE: Final = LiteralInt(0, 2**20)

WORKER_PROCESSES: Final = _FAMILY.setting(
    "worker-processes", WorkerCount(), None, "NGINX workers; auto: one per core that the container may use."
)
WORKER_SHUTDOWN_TIMEOUT: Final = _FAMILY.setting(
    "worker-shutdown-timeout",
    Duration(),
    240_000,
    "Milliseconds that workers of an old configuration have for their open requests.",
)
MAX_WORKER_CONNECTIONS: Final = _FAMILY.setting(
    "max-worker-connections",
    LiteralInt(0, 2**20),
    16384,
    "Connections of one worker, to clients and backends together; 0: three quarters of its open files.",
)
WORKER_CPU_AFFINITY: Final = _FAMILY.setting(
    "worker-cpu-affinity", CpuAffinity(), (), "Which worker runs on which core; empty: the kernel decides."
)
ENABLE_SERIAL_RELOADS: Final = _FAMILY.setting(
    "enable-serial-reloads",
    WeakBool(),
    False,
    "Whether a reload waits until the workers before it are gone.",
    becomes=Becomes.CONTROL,
)
MAX_WORKER_OPEN_FILES: Final = _FAMILY.setting(
    "max-worker-open-files",
    LiteralInt(0, 2**30),
    0,
    "Files that one worker may have open; at most, and if 0, what the system allows.",
)
MAP_HASH_BUCKET_SIZE: Final = _FAMILY.setting(
    "map-hash-bucket-size", _HASH_SIZE, 64, "Bucket size of an NGINX hash table; grown where it is too small."
)
SERVER_NAME_HASH_MAX_SIZE: Final = _FAMILY.setting(
    "server-name-hash-max-size", _HASH_SIZE, 1024, "Size of an NGINX hash table; grown when host names need it."
)
SERVER_NAME_HASH_BUCKET_SIZE: Final = _FAMILY.setting(
    "server-name-hash-bucket-size", _HASH_SIZE, 0, "Bucket size of an NGINX hash table; grown where it is too small."
)
VARIABLES_HASH_BUCKET_SIZE: Final = _FAMILY.setting(
    "variables-hash-bucket-size", _HASH_SIZE, 256, "Bucket size of an NGINX hash table; grown where it is too small."
)
VARIABLES_HASH_MAX_SIZE: Final = _FAMILY.setting(
    "variables-hash-max-size", _HASH_SIZE, 2048, "Size of an NGINX hash table; grown where it is too small."
)
LUA_SHARED_DICTS: Final = _FAMILY.dead(
    "lua-shared-dicts", "Sizes of the retired controller's dictionaries. Tidegate's own grow by themselves."
)
