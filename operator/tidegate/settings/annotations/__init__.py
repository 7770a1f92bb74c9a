"""The annotations, one constant each, without their prefix: `ann.SSL_REDIRECT`.

Each module declares one family; this package is the flat view of them all. ConfigMap keys live in their own namespace,
`tidegate.settings.configmap`, because many share a name with the annotation that overrides them.
"""
# ruff: noqa: F403 - the families' own modules are the one list of names

from tidegate.settings.annotations.access import *
from tidegate.settings.annotations.affinity import *
from tidegate.settings.annotations.backend_tls import *
from tidegate.settings.annotations.backends import *
from tidegate.settings.annotations.balancing import *
from tidegate.settings.annotations.basic_auth import *
from tidegate.settings.annotations.canary import *
from tidegate.settings.annotations.client_certs import *
from tidegate.settings.annotations.client_tls import *
from tidegate.settings.annotations.cors import *
from tidegate.settings.annotations.dead import *
from tidegate.settings.annotations.errors import *
from tidegate.settings.annotations.external_auth import *
from tidegate.settings.annotations.limits import *
from tidegate.settings.annotations.logging import *
from tidegate.settings.annotations.proxying import *
from tidegate.settings.annotations.redirects import *
from tidegate.settings.annotations.rewriting import *
from tidegate.settings.annotations.snippets import *
