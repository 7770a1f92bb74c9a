"""The translator: from a store and the keys that changed to what changed in the model.

It keeps what it translated, unit by unit (a host, a backend), and translates again just the units that read a key
which changed. Pure: its state is a function of the store's content, whatever the order of changes was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.model import (
    CATCH_ALL,
    Backend,
    Certificate,
    CertificateInfo,
    Globals,
    Host,
    Passthrough,
    Policy,
    Server,
    Snapshot,
    Stream,
    Verification,
)
from tidegate.resources.changes import Wish
from tidegate.resources.model import Ingress
from tidegate.settings.resolve import GlobalSettings, read_configmap
from tidegate.store import Store
from tidegate.translate.acceptance import View, accept, is_ours
from tidegate.translate.authentication import Users
from tidegate.translate.backends import BackendName
from tidegate.translate.client_tls import read_client_tls
from tidegate.translate.defaults import DefaultRoute, Defaults
from tidegate.translate.delta import Delta, note
from tidegate.translate.global_checks import check_globals
from tidegate.translate.globals import translate_globals
from tidegate.translate.header_sets import read_header_sets
from tidegate.translate.hosts import HostResult, hosts_of, server_name, translate_host
from tidegate.translate.options import Options
from tidegate.translate.passthrough import Passthroughs
from tidegate.translate.pem import PemFile
from tidegate.translate.publication import Publication
from tidegate.translate.reader import Dependencies, Reader, Unit
from tidegate.translate.revisions import Revisions
from tidegate.translate.routes import RouteContext
from tidegate.translate.strays import Strays
from tidegate.translate.stream_snippets import StreamSnippets
from tidegate.translate.streams import StreamEntry, Streams
from tidegate.translate.tally import Tally
from tidegate.translate.used_backends import UsedBackends, backend_ids
from tidegate.translate.views import Views

_GLOBALS = Unit("globals", "")


class Translator:
    """See the module. `accepted` are the last accepted revisions of an earlier run, by key."""

    def __init__(self, options: Options, accepted: Mapping[ObjectKey, Ingress] | None = None) -> None:
        self.options = options
        self._settings, self._global_findings = read_configmap(None)
        self.globals: Globals = translate_globals(self._settings, options)
        self._views = Views()
        self._revisions = Revisions(accepted or {})
        self._started = False
        self._dependencies = Dependencies()
        self._hosts: dict[str, HostResult] = {}
        self._publication = Publication(self._hosts)
        self._policies: dict[str, Policy] = {}
        self._policy_users: Tally[str] = Tally()
        self._users: Tally[Users] = Tally()
        self._files: Tally[PemFile] = Tally()
        self._global_files: tuple[PemFile, ...] = ()
        self._wishes: Tally[Wish] = Tally()
        self.wishes_version = 0  # grows when `wishes` may have changed
        self._findings: Tally[Finding] = Tally()
        self._used = UsedBackends(self._dependencies, self._findings)
        self._strays = Strays()
        self._refused_verifications: dict[Verification, str] = {}
        self._defaults = Defaults(options)
        self._streams = Streams(options)
        self._stream_snippets = StreamSnippets()
        self._passthroughs = Passthroughs()

    def live_in(self, zone: str) -> None:
        """The zone of this program, for one that learns it late: before the first update."""
        self.options = self._streams.options = msgspec.structs.replace(self.options, zone=zone)

    # -- results ------------------------------------------------------------------------------------------------

    @property
    def views(self) -> Mapping[ObjectKey, View]:
        """The Ingresses that are ours."""
        return self._views.by_key

    @property
    def settings(self) -> GlobalSettings:
        return self._settings

    @property
    def hosts(self) -> Mapping[str, Host]:
        """All names that are served, aliases and redirecting ones included."""
        return self._publication.hosts

    @property
    def backends(self) -> dict[str, Backend]:
        return {name: result.backend for name, result in self._used.results.items()}

    @property
    def certificates(self) -> Mapping[str, Certificate]:
        return self._publication.certificates

    @property
    def certificate_infos(self) -> tuple[tuple[str, CertificateInfo], ...]:
        """Host and certificate, for display; `_` for the default one."""
        rows = [(name, info) for name, result in sorted(self._hosts.items()) for info in result.certificates]
        return (("_", self._defaults.info), *rows) if self._defaults.info else tuple(rows)

    @property
    def default_backend(self) -> BackendName | None:
        return self._defaults.backend

    def certificates_of(self, host: str) -> tuple[CertificateInfo, ...]:
        """What one host shows, `_` being everybody else; nothing for a host that shows the default certificate."""
        if host == CATCH_ALL:
            return (self._defaults.info,) if self._defaults.info else ()
        result = self._hosts.get(host)
        return result.certificates if result else ()

    def views_of_host(self, host: str) -> list[View]:
        """The Ingresses with rules for a host, the oldest first. May be called while an update goes on elsewhere."""
        return self._views.of_host(host)

    def policies(self) -> tuple[dict[str, Policy], dict[str, int]]:
        """The policies that routes name, and how many routes name each."""
        users = self._policy_users.counts
        for digest in self._policies.keys() - users.keys():
            del self._policies[digest]
        return dict(self._policies), users

    def servers(self) -> dict[str, Server]:
        """The native servers by the digest of their profile; `_` for names that the catch-all one has to name.

        What Ingresses add to the `stream` block is among them, without hosts.
        """
        return self._publication.servers() | self._stream_snippets.servers()

    def snapshot(self) -> Snapshot:
        """Everything that is wanted, in the order of its names."""
        return Snapshot(
            hosts=dict(sorted(self.hosts.items())),
            backends=dict(sorted(self.backends.items())),
            certificates=dict(sorted(self.certificates.items())),
            policies=dict(sorted(self.policies()[0].items())),
            servers=self.servers(),
            streams=self.streams,
            passthrough=dict(sorted(self.passthrough.items())),
        )

    @property
    def streams(self) -> dict[str, Stream]:
        """The TCP and UDP services by the name of their listener."""
        return self._streams.streams

    @property
    def passthrough(self) -> Mapping[str, Passthrough]:
        """The hosts whose TLS is passed through."""
        return self._passthroughs.published

    def stream_entry(self, listener: str) -> StreamEntry | None:
        """Which entry of a ConfigMap asks for a listener."""
        return self._streams.entry(listener)

    def users(self) -> frozenset[Users]:
        """The htpasswd files that routes refer to."""
        return frozenset(self._users)

    def files(self) -> frozenset[PemFile]:
        """The certificates and keys that policies refer to."""
        return frozenset(self._files)

    def wishes(self) -> frozenset[Wish]:
        """What is to be fetched about certificates."""
        return frozenset([*self._wishes, *self._defaults.wishes])

    def dns_names(self) -> frozenset[str]:
        """Host names whose addresses are wanted."""
        return frozenset(self._used.names) | self._streams.names

    def take_released(self) -> frozenset[ObjectKey]:
        """The objects that nothing refers to any more, since the last call."""
        return self._dependencies.take_released()

    def default_route(self) -> DefaultRoute:
        return self._defaults.route(self._publication.patterns())

    def findings(self) -> tuple[Finding, ...]:
        """Everything there is to say, in a stable order."""
        found = (self._global_findings, self._defaults.findings, self._strays.findings, self._findings)
        more = (*self._streams.findings, *self._stream_conflicts())
        return tuple(sorted({*more, *(finding for part in found for finding in part)}))

    def _stream_conflicts(self) -> Iterator[Finding]:
        listeners = (stream.listener for stream in self.streams.values())
        return self._stream_snippets.findings(listeners, self.options.annotations_prefix)

    def findings_of(self, key: ObjectKey) -> tuple[Finding, ...]:
        """The findings about one Ingress, those of its hosts included."""
        view = self.views.get(key)
        if view is None:
            return ()
        found = set(view.findings)
        if key in self._stream_snippets:
            found.update(item for item in self._stream_conflicts() if item.object == key)
        for host in hosts_of(view):
            result = self._hosts.get(host)
            found.update(item for item in (result.findings if result else ()) if item.object == key)
        return tuple(sorted(found))

    # -- update -------------------------------------------------------------------------------------------------

    def refuse(self, policies: Iterable[str], message: str, servers: Iterable[str] = ()) -> set[ObjectKey]:
        """NGINX did not take these policies or servers: the revisions that brought them are not accepted after all.

        Returns the keys to update. A revision stays refused until its Ingress changes, authorities until their Secret
        does: their hosts are closed.
        """
        bad, bad_servers = set(policies), set(servers)
        keys = set(self._stream_snippets.owners(bad_servers))
        secrets: set[ObjectKey] = set()
        for result in self._hosts.values():
            own = result.own
            if own.digest in bad_servers:
                keys.update(own.owners)
                if not own.owners and own.clients.verification and own.clients.secret:
                    self._refused_verifications[own.clients.verification] = message
                    secrets.add(own.clients.secret)
            for route in result.host.routes:
                if route.policy in bad:
                    keys.add(ObjectKey("Ingress", route.labels.namespace, route.labels.ingress))
        for key in keys:
            view = self.views[key]
            finding = Finding(key, "metadata.annotations", Severity.ERROR, "Rejected", f"NGINX says: {message}")
            self._revisions.refuse(view, finding)
        return keys | secrets

    def update(self, store: Store, changed: Iterable[ObjectKey]) -> Delta:
        """Translate again what the changed keys touch."""
        changed = set(changed)
        self._strays.update(store, changed)
        globals_changed = self._update_globals(store, changed)
        dirty_hosts, dirty_backends, views, accepted = self._update_views(store, changed, globals_changed)
        for key in changed:
            for unit in self._dependencies.of(key) - {_GLOBALS}:
                (dirty_hosts if unit.kind == "host" else dirty_backends).add(unit.name)
        dirty_names, more_backends = self._update_hosts(store, dirty_hosts)
        backends = self._used.update(
            store,
            dirty_backends | more_backends,
            self.default_backend,
            self.options,
            self._views.of_backend,
        )
        hosts, certificates = self._publication.publish(dirty_names)
        note(certificates, self._publication.certificates, CATCH_ALL, self._defaults.certificate)
        judged = views.union(*map(self._views.keys_of_host, dirty_hosts))
        return Delta(
            hosts,
            backends,
            certificates,
            accepted,
            frozenset(views),
            globals_changed,
            frozenset(judged),
            self._streams.update(store, changed),
            self._update_passthrough(dirty_hosts, backends),
        )

    def _update_passthrough(self, hosts: set[str], backends: Iterable[str]) -> dict[str, Passthrough | None]:
        results = {host: self._hosts.get(host) for host in hosts}
        wanted = {host: result.passthrough if result else None for host, result in results.items()}
        return self._passthroughs.update(wanted, backends, lambda name: self._used.results[name].backend.endpoints)

    def _update_globals(self, store: Store, changed: set[ObjectKey]) -> bool:
        options = self.options
        before = (self.globals, self.default_backend, self._settings)
        touched = any(_GLOBALS in self._dependencies.of(key) for key in changed)
        if options.configmap is not None and (touched or options.configmap in changed):
            configmap = store.configmap(options.configmap.namespace, options.configmap.name)
            self._settings, findings = read_configmap(configmap)
            reader = Reader(store)
            headers = read_header_sets(self._settings, reader)
            tls = read_client_tls(self._settings, reader)
            self._dependencies.replace(_GLOBALS, reader.read)
            self._global_findings = (
                *findings,
                *headers.findings,
                *tls.findings,
                *check_globals(self._settings, options),
            )
            self._files.replace(self._global_files, tls.files)
            self._global_files = tls.files
            self.globals = translate_globals(self._settings, options, headers, tls)
        wishes = self._defaults.wishes
        self._defaults.update(store, self._settings)
        self.wishes_version += wishes != self._defaults.wishes
        return before != (self.globals, self.default_backend, self._settings)

    def _update_views(
        self, store: Store, changed: set[ObjectKey], everything: bool
    ) -> tuple[set[str], set[str], set[ObjectKey], dict[ObjectKey, Ingress | None]]:
        classes = any(key.kind == "IngressClass" for key in changed)
        if everything or classes:
            keys = set(store.ingresses) | set(self.views)
        else:
            keys = {key for key in changed if key.kind == "Ingress"}
            keys |= self._ingresses_in(store, {key.name for key in changed if key.kind == "Namespace"})
        if not self._started:  # what an earlier run accepted may be gone
            keys |= self._revisions.known()
            self._started = True
        hosts: set[str] = set()
        backends: set[str] = set()
        touched: set[ObjectKey] = set()
        accepted: dict[ObjectKey, Ingress | None] = {}
        for key in keys:
            former = self.views.get(key)
            view = self._view(store, key)
            if self._revisions.take(key, view):
                accepted[key] = view.last if view else None
            if former == view and not everything:
                continue
            touched.add(key)
            for version in (former, view):
                if version is not None:
                    hosts |= hosts_of(version)
                    backends |= backend_ids(version)
            self._replace_view(key, former, view)
        if everything:
            hosts |= set(self._hosts)
            backends |= set(self._used.results)
            if self.default_backend is not None:
                backends.add(str(self.default_backend))
        return hosts, backends, touched, accepted

    def _ingresses_in(self, store: Store, namespaces: set[str]) -> set[ObjectKey]:
        """The Ingresses of namespaces that changed, if their labels decide."""
        if not namespaces or self.options.namespace_selector is None:
            return set()
        return {key for key in store.ingresses if key.namespace in namespaces}

    def _view(self, store: Store, key: ObjectKey) -> View | None:
        ingress = store.ingresses.get(key)
        if ingress is None or not is_ours(ingress, store, self.options):
            return None
        refused = self._revisions.refusal(key, ingress)
        return accept(ingress, self._revisions.last(key), self._settings, self.options, refused)

    def _replace_view(self, key: ObjectKey, former: View | None, view: View | None) -> None:
        self._views.replace(key, view)
        self._findings.replace(former.findings if former else (), view.findings if view else ())
        self._stream_snippets.replace(key, view)

    def _update_hosts(self, store: Store, dirty: set[str]) -> tuple[set[str], set[str]]:
        """Translate hosts; the names to publish anew and the backends whose users changed."""
        names: set[str] = set()
        backends: set[str] = set()
        for host in dirty:
            reader = Reader(store)
            named = "" if host == CATCH_ALL else host
            context = RouteContext(
                self._settings,
                self.globals.default_policy,
                self.options,
                reader,
                host=named,
                refused=self._refused_verifications,
            )
            views = self._views.of_host(host)
            result = translate_host(server_name(host), views, context) if views else None
            self._dependencies.replace(Unit("host", host), reader.read)
            former = self._hosts.get(host)
            names |= {host} | set(former.claims if former else ()) | set(result.claims if result else ())
            backends |= self._replace_host(host, former, result)
        return names, backends

    def _replace_host(self, host: str, former: HostResult | None, result: HostResult | None) -> set[str]:
        changed = self._used.claim(host, former.backends if former else (), result.backends if result else ())
        self._publication.claim(host, former, result)
        self._policies |= result.policies if result else {}
        self._policy_users.replace(_policies_of(former), _policies_of(result))
        self._users.replace(former.users if former else (), result.users if result else ())
        wishes = (former.wishes if former else frozenset(), result.wishes if result else frozenset())
        if wishes[0] != wishes[1]:
            self._wishes.replace(*wishes)
            self.wishes_version += 1
        self._files.replace(former.files if former else (), result.files if result else ())
        self._findings.replace(former.findings if former else (), result.findings if result else ())
        if result is None:
            self._hosts.pop(host, None)
        else:
            self._hosts[host] = result
        return changed


def _policies_of(result: HostResult | None) -> list[str]:
    """The policy of each route that has one of its own."""
    return [route.policy for route in result.host.routes if route.policy] if result else []
