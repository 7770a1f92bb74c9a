"""What tools that drive ingress controllers do: the objects that each creates, in its order, and the fields it reads.

Each sequence is what the tool's own source does (named at each). What takes time is returned as a figure, in seconds.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from dataplane import Reply, Request, self_signed, serial_of
from driven import (
    World,
    ask,
    endpoints,
    eventually,
    ingress,
    meta,
    owner,
    path,
    seconds_until,
    secret,
    serial_shown,
    service,
    share,
)
from steadyload import Load
from up import Manifest

PREFIX = "nginx.ingress.kubernetes.io/"
Figures = dict[str, float]
TOKEN, KEY = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "LoqXcYV8.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


# -- cert-manager (pkg/issuer/acme/http) -------------------------------------------------------------------------------


class Challenge:
    """One HTTP-01 challenge: pod, Service of type NodePort, Ingress; then the pod becomes ready."""

    def __init__(self, world: World, host: str, by_field: bool, kind: str) -> None:
        self.world, self.host = world, host
        self.path = f"/.well-known/acme-challenge/{TOKEN}"
        self.name = f"cm-acme-http-solver-{host.partition('.')[0]}"
        self.solver = world.server(self.name, self._answer)
        self.labels = {
            "acme.cert-manager.io/http-domain": "1073741824",
            "acme.cert-manager.io/http-token": "1008300421",
            "acme.cert-manager.io/http01-solver": "true",
        }
        self._owner = owner("Challenge", "acme.cert-manager.io/v1", f"{host}-1-1")
        self.pod, self.service = self._pod(), self._service()
        self.slice = endpoints(self.name, self.solver)
        self.ingress = self._ingress(by_field, kind)

    def _answer(self, request: Request) -> Reply:
        good = request.target == self.path and request.header("Host") == self.host
        return Reply(200 if good else 404, body=KEY.encode() if good else b"")

    def _pod(self) -> Manifest:
        container = {"name": "acmesolver", "image": "acmesolver", "ports": [{"name": "http", "containerPort": 8089}]}
        spec = {"containers": [container], "restartPolicy": "OnFailure"}
        found = meta(self.name, self._owner, labels=self.labels)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": found, "spec": spec}

    def _service(self) -> Manifest:
        found = service(self.name, 8089, type="NodePort", selector=self.labels)
        found["metadata"] = meta(self.name, self._owner, labels=self.labels, annotations={"auth.istio.io/8089": "NONE"})
        return found

    def _ingress(self, by_field: bool, kind: str) -> Manifest:
        found = ingress(self.name, self.host, path(self.name, self.path, kind, 8089))
        rows = {PREFIX + "whitelist-source-range": "0.0.0.0/0,::/0"}
        if not by_field:
            del found["spec"]["ingressClassName"]
            rows["kubernetes.io/ingress.class"] = "nginx"
        found["metadata"] = meta(self.name, self._owner, labels=self.labels, annotations=rows)
        return found

    def reachable(self) -> bool:
        """cert-manager's own check, which is also what an ACME server does: plain HTTP, status 200 and the key."""
        answer = ask(self.world, self.host, self.path)
        return (answer.status, answer.body) == (200, KEY)

    def solve(self, change: Callable[[], None] | None = None) -> float:
        """Present everything; seconds from the last object until the key is served."""
        self.world.put(self.pod, self.service)
        (change or (lambda: self.world.put(self.ingress)))()
        self.world.put(self.slice)
        return seconds_until(self.reachable)

    def clean_up(self) -> None:
        """Pod, Service, Ingress: this order has the path without endpoints for a moment."""
        self.world.remove(self.pod, self.service, self.slice, self.ingress)


WANTS = {"cert-manager.io/cluster-issuer": "letsencrypt"}


def guarded(world: World, host: str, text: str = "/(.*)", *, wants: dict[str, str] = WANTS, **more: str) -> Manifest:
    """An application with what could stand in the way of a challenge; `wants` is what it says to cert-manager."""
    name = host.partition(".")[0]
    app = ingress(
        name,
        host,
        path(name, text, "ImplementationSpecific"),
        tls=f"{name}-tls",
        force_ssl_redirect="true",
        auth_type="basic",
        auth_secret=f"{name}-users",
        **more,
    )
    app["metadata"]["annotations"] |= wants
    users = secret(f"{name}-users", auth="user:{PLAIN}secret\n")
    world.put(users, service(name), endpoints(name, world.server(name)), app)
    return app


def challenge(world: World, *, by_field: bool, kind: str) -> Figures:
    """A challenge of its own Ingress beside a guarded one; the certificate comes, and is renewed."""
    host = f"acme-{'field' if by_field else 'annotation'}-{kind.lower()}.test"
    guarded(world, host, use_regex="true", rewrite_target="/$1", whitelist_source_range="127.0.0.0/8")
    eventually(lambda: ask(world, host).status == 308)
    one = Challenge(world, host, by_field, kind)
    reloads = world.up.status()["reloads"]
    figure = one.solve()
    assert world.up.status()["reloads"] == reloads
    assert ask(world, host).status == 308
    assert ask(world, host, tls=True).status == 401
    one.clean_up()
    eventually(lambda: ask(world, host, one.path).status == 308)
    reloads = world.up.status()["reloads"]
    for _ in ("issued", "renewed"):
        pair = self_signed(host)
        world.put(_tls_secret(host, pair.chain, pair.key))
        eventually(lambda pair=pair: serial_shown(world, host) == serial_of(pair))
    assert ask(world, host, tls=True, authorization="Basic dXNlcjpzZWNyZXQ=").backend == host.partition(".")[0]
    assert world.up.status()["reloads"] == reloads
    return {f"a challenge served ({'field' if by_field else 'annotation'}, {kind})": figure}


def _tls_secret(host: str, chain: str, key: str) -> Manifest:
    found = secret(f"{host.partition('.')[0]}-tls", "kubernetes.io/tls", tls_crt=chain, tls_key=key)
    found["metadata"]["annotations"] = {"cert-manager.io/certificate-name": host, "cert-manager.io/issuer-kind": "X"}
    return found


def challenge_in_place(world: World) -> Figures:
    """`acme.cert-manager.io/http01-edit-in-place`: the path comes first in the application's own Ingress, then goes."""
    host = "acme-in-place.test"
    app = guarded(world, host, "/", wants=WANTS | {"acme.cert-manager.io/http01-edit-in-place": "true"})
    eventually(lambda: ask(world, host).status == 308)
    one = Challenge(world, host, True, "Exact")
    edited = copy.deepcopy(app)
    edited["spec"]["rules"][0]["http"]["paths"].insert(0, path(one.name, one.path, "Exact", 8089))
    figure = one.solve(lambda: world.put(edited))
    assert ask(world, host, tls=True).status == 401
    world.remove(one.pod, one.service, one.slice)
    world.put(app)
    eventually(lambda: ask(world, host, one.path).status == 308)
    return {"a challenge served (in place)": figure}


# -- canaries ----------------------------------------------------------------------------------------------------------


def _is_served_by(world: World, host: str, backend: str, low: float, high: float, **headers: str) -> None:
    """Wait until the share of a backend is within these bounds."""
    seen: list[float] = []

    def within() -> bool:
        seen.append(share(world, host, backend, **headers))
        return low <= seen[-1] <= high

    eventually(within, f"{host}: the share of {backend} is not {low} to {high}")


STEPS = {20: (0.05, 0.4), 50: (0.3, 0.7), 100: (1.0, 1.0)}  # weight: bounds of 200 requests, 5 deviations wide


def rollout(world: World) -> Figures:
    """Argo Rollouts (rollout/trafficrouting/nginx): the canary Ingress stays for ever, and weights are patched."""
    host, name = "rollout.test", "shop-rollout"
    old, new = world.server("old"), world.server("new")
    stable = ingress("rollout-stable", host, path(f"{name}-stable"), proxy_read_timeout="30")
    canary = ingress(f"{name}-rollout-stable-canary", host, path(f"{name}-canary"), canary="true", canary_weight="0")
    canary["metadata"]["ownerReferences"] = [owner("Rollout", "argoproj.io/v1alpha1", name)]
    canary["metadata"]["annotations"][PREFIX + "canary-by-header"] = "X-Canary"  # additionalIngressAnnotations
    services = [service(f"{name}-{kind}", selector={"app": name}) for kind in ("stable", "canary")]
    world.put(*services, endpoints(f"{name}-stable", old), endpoints(f"{name}-canary", old), stable)
    eventually(lambda: ask(world, host).backend == "old")
    with Load(world.up, host) as load:
        world.put(canary)
        world.put(endpoints(f"{name}-canary", new))  # the canary Service selects the new pods
        eventually(lambda: ask(world, host, x_canary="always").backend == "new")
        assert share(world, host, "new", 50) == 0
        reloads = world.up.status()["reloads"]
        for weight, bounds in STEPS.items():
            canary["metadata"]["annotations"][PREFIX + "canary-weight"] = str(weight)
            world.put(canary)
            _is_served_by(world, host, "new", *bounds)
        assert ask(world, host, x_canary="never").backend == "old"
        world.put(endpoints(f"{name}-stable", new))  # promoted
        canary["metadata"]["annotations"][PREFIX + "canary-weight"] = "0"
        world.put(canary)
        eventually(lambda: ask(world, host, x_canary="never").backend == "new")
        assert world.up.status()["reloads"] == reloads
        load.more()
    assert load.failures == []
    return {}


def flagger(world: World) -> Figures:
    """Flagger (pkg/router/ingress.go): a copy of the Ingress with its annotations; weights, then A/B, then back."""
    host, name = "flagger.test", "podinfo"
    old, new = world.server("primary"), world.server("candidate")
    apex = ingress(name, host, path(name), proxy_read_timeout="30", enable_cors="true")
    services = [service(one, selector={"app": one}) for one in (name, f"{name}-primary", f"{name}-canary")]
    world.put(*services, *(endpoints(one, old) for one in (name, f"{name}-primary")))
    world.put(endpoints(f"{name}-canary", new), apex)
    eventually(lambda: ask(world, host).backend == "primary")
    canary = copy.deepcopy(apex)
    canary["metadata"]["name"] = f"{name}-canary"
    canary["metadata"]["ownerReferences"] = [owner("Canary", "flagger.app/v1beta1", name)]
    canary["spec"]["rules"][0]["http"]["paths"] = [path(f"{name}-canary")]
    rows = canary["metadata"]["annotations"]
    rows |= {PREFIX + "canary": "true", PREFIX + "canary-weight": "0"}
    with Load(world.up, host) as load:
        world.put(canary)
        for weight, bounds in STEPS.items():
            rows[PREFIX + "canary-weight"] = str(weight)
            world.put(canary)
            _is_served_by(world, host, "candidate", *bounds)
        rows[PREFIX + "canary-weight"] = "0"
        world.put(canary)
        _is_served_by(world, host, "candidate", 0, 0)
        rows |= {PREFIX + "canary-by-header": "X-Insider", PREFIX + "canary-by-header-pattern": "^(yes|beta)$"}
        world.put(canary)
        eventually(lambda: ask(world, host, x_insider="beta").backend == "candidate")
        assert ask(world, host, x_insider="betas").backend == "primary"
        assert ask(world, host).backend == "primary"
        for key in ("canary-by-header", "canary-by-header-pattern"):
            del rows[PREFIX + key]
        world.put(canary)
        eventually(lambda: ask(world, host, x_insider="beta").backend == "primary")
        load.more()
    assert load.failures == []
    return {}


# -- tools that read ---------------------------------------------------------------------------------------------------


def _addresses(item: Manifest) -> list[str]:
    balancer = item.get("status", {}).get("loadBalancer", {})
    return [row.get("ip") or row["hostname"] for row in balancer.get("ingress", [])]


def external_dns_records(item: Manifest) -> set[tuple[str, str]]:
    """ExternalDNS (source/ingress.go): each host of rules and `tls`, at each address of the status or of `target`."""
    rows = item["metadata"].get("annotations", {})
    target = rows.get("external-dns.alpha.kubernetes.io/target", "")
    places = target.split(",") if target else _addresses(item)
    hosts = {rule["host"] for rule in item["spec"]["rules"] if rule.get("host")}
    hosts |= {host for block in item["spec"].get("tls", []) for host in block.get("hosts", [])}
    return {(host, place) for host in hosts for place in places}


def external_dns(world: World) -> Figures:
    """Records follow the status; a mistake in an annotation withdraws none. In a folder nothing is written."""
    host = "records.test"
    app = ingress("records", host, path("records"))
    app["metadata"]["annotations"]["external-dns.alpha.kubernetes.io/ttl"] = "60"
    world.put(service("records"), endpoints("records", world.server("records")), app)
    eventually(lambda: ask(world, host).status == 200)
    assert not world.up.ingress("records")["findings"]
    if not world.in_cluster:
        assert world.read(app) == app
        return {}
    wanted = {(host, "192.0.2.7"), (host, "lb.example.net")}
    figure = seconds_until(lambda: external_dns_records(world.read(app)) == wanted)
    app["metadata"]["annotations"][PREFIX + "proxy-read-timeout"] = "soon"
    world.put(app)
    eventually(lambda: world.up.ingress("records")["findings"])
    assert external_dns_records(world.read(app)) == wanted
    return {"addresses in the status": figure}


def argo_health(item: Manifest) -> str:
    """Argo CD (gitops-engine's health of an Ingress)."""
    return "Healthy" if item.get("status", {}).get("loadBalancer", {}).get("ingress") else "Progressing"


def argo_cd(world: World) -> Figures:
    """Health becomes good by itself, and what was applied is what is there: no drift."""
    host = "argo.test"
    app = ingress("argo", host, path("argo"))
    app["metadata"]["annotations"] |= {
        "argocd.argoproj.io/tracking-id": f"shop:networking.k8s.io/Ingress:{app['metadata']['namespace']}/argo",
        "argocd.argoproj.io/sync-wave": "2",
    }
    app["metadata"]["labels"] = {"app.kubernetes.io/instance": "shop"}
    world.put(service("argo"), endpoints("argo", world.server("argo")), app)
    eventually(lambda: ask(world, host).status == 200)
    if world.in_cluster:
        eventually(lambda: argo_health(world.read(app)) == "Healthy")
    found = world.read(app)
    assert found["spec"] == app["spec"]
    assert {key: found["metadata"].get(key) for key in app["metadata"]} == app["metadata"]
    assert "finalizers" not in found["metadata"]
    return {}


# -- oauth2-proxy ------------------------------------------------------------------------------------------------------


def oauth2_handler(request: Request) -> Reply:
    """What oauth2-proxy answers under /oauth2, with `--set-xauthrequest` and `--set-authorization-header`."""
    cookie = request.header("Cookie") or ""
    where, _, query = request.target.partition("?")
    if where == "/oauth2/auth":
        if "_oauth2_proxy=session" not in cookie:
            return Reply(401, body=b"Unauthorized\n")
        names = ("X-Auth-Request-User", "alice"), ("X-Auth-Request-Email", "alice@example.com")
        return Reply(202, (*names, ("Authorization", "Bearer token"), ("Set-Cookie", "_oauth2_proxy=session2; Path=/")))
    if where == "/oauth2/start":
        csrf = f"_oauth2_proxy_csrf={quote(unquote(query.partition('rd=')[2]), '')}; Path=/"
        return Reply(302, (("Location", "https://idp.test/authorize?state=s"), ("Set-Cookie", csrf)))
    if where == "/oauth2/callback":
        back = unquote(cookie.partition("_oauth2_proxy_csrf=")[2])
        large = f"_oauth2_proxy=session{'x' * 5000}; Path=/"  # tokens make sessions large: why people set the buffer
        return Reply(302, (("Location", back), ("Set-Cookie", large)))
    return Reply(404)


def oauth2_proxy(world: World, login: Callable[[World, str, str], dict[str, str]] | None = None) -> Figures:
    """Two Ingresses on one host; the application's asks the other one's through `$host`, as the documents have it."""
    host, proxy = "oauth.test", world.server("oauth2-proxy", oauth2_handler)
    world.put(service("oauth2-proxy", 4180), endpoints("oauth2-proxy", proxy))
    world.put(service("dashboard"), endpoints("dashboard", world.server("dashboard")))
    pair = self_signed(host)
    world.put(_tls_secret(host, pair.chain, pair.key))
    front = ingress("oauth2-proxy", host, path("oauth2-proxy", "/oauth2", port=4180), tls="oauth-tls")
    front["metadata"]["annotations"][PREFIX + "proxy-buffer-size"] = "8k"
    app = ingress(
        "dashboard",
        host,
        path("dashboard"),
        tls="oauth-tls",
        auth_url=f"https://$host:{world.up.https}/oauth2/auth",
        auth_signin="https://$host/oauth2/start?rd=$escaped_request_uri",
        auth_response_headers="X-Auth-Request-User, X-Auth-Request-Email, Authorization",
    )
    world.put(front, app)
    eventually(lambda: ask(world, host, "/account?a=1", tls=True).status == 302)
    cookies = (login or _log_in)(world, host, "/account?a=1")
    answer = ask(world, host, "/account?a=1", tls=True, **cookies, x_auth_request_user="mallory")
    assert answer.backend == "dashboard"
    seen = re.findall(r'\["(X-Auth-Request-User|X-Auth-Request-Email|Authorization)", "([^"]*)"\]', answer.body)
    assert dict(seen) == {
        "X-Auth-Request-User": "alice",
        "X-Auth-Request-Email": "alice@example.com",
        "Authorization": "Bearer token",
    }
    assert len(seen) == 3
    assert "_oauth2_proxy=session2" in answer.header("Set-Cookie")
    world.remove(endpoints("oauth2-proxy", proxy))
    eventually(lambda: ask(world, host, "/account", tls=True, **cookies).status >= 500)
    return {}


def _log_in(world: World, host: str, page: str) -> dict[str, str]:
    """As a browser does it: to the sign-in page, from the identity provider back, to where it came from."""
    first = ask(world, host, page, tls=True)
    assert first.header("Location") == f"https://{host}/oauth2/start?rd={quote(page, '')}"
    start = ask(world, host, first.header("Location").partition(host)[2], tls=True)
    assert start.header("Location").startswith("https://idp.test/")
    csrf = start.header("Set-Cookie").partition(";")[0]
    back = ask(world, host, "/oauth2/callback?code=c&state=s", tls=True, cookie=csrf)
    assert (back.status, back.header("Location")) == (302, page)
    return {"cookie": back.header("Set-Cookie").partition(";")[0]}


SEQUENCES: dict[str, Callable[[World], Figures]] = {
    "cert-manager solves a challenge (class by field, Exact)": functools.partial(
        challenge, by_field=True, kind="Exact"
    ),
    "cert-manager solves a challenge (class by annotation, ImplementationSpecific)": functools.partial(
        challenge, by_field=False, kind="ImplementationSpecific"
    ),
    "cert-manager solves a challenge in place": challenge_in_place,
    "Argo Rollouts steps a canary": rollout,
    "Flagger steps a canary and tests A against B": flagger,
    "ExternalDNS reads addresses": external_dns,
    "Argo CD sees health and no drift": argo_cd,
    "oauth2-proxy guards an application": oauth2_proxy,
}
