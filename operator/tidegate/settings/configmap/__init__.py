"""The ConfigMap keys, one constant each: `cm.PROXY_BODY_SIZE`.

Each module declares one section; this package is the flat view of them all.
"""
# ruff: noqa: F403 - the sections' own modules are the one list of names

from tidegate.settings.configmap.access import *
from tidegate.settings.configmap.client import *
from tidegate.settings.configmap.compression import *
from tidegate.settings.configmap.dead import *
from tidegate.settings.configmap.forwarding import *
from tidegate.settings.configmap.global_auth import *
from tidegate.settings.configmap.limits import *
from tidegate.settings.configmap.logging import *
from tidegate.settings.configmap.modsecurity import *
from tidegate.settings.configmap.processes import *
from tidegate.settings.configmap.proxying import *
from tidegate.settings.configmap.redirects import *
from tidegate.settings.configmap.security import *
from tidegate.settings.configmap.snippets import *
from tidegate.settings.configmap.streams import *
from tidegate.settings.configmap.tls import *
from tidegate.settings.configmap.tracing import *
