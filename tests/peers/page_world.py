"""A node that does not exist: what the page is shown where the real one would take too long to get into all these states.

`answers(now)` gives the JSON of every path of `/v1/`; `crowd(n)` many connections; HOSTILE is what somebody may call a pod.
"""

import datetime

HOSTILE = '<img src=x onerror="window.hurt=1">'
DOMAIN = "spiffe://cluster.local"


def moment(now, seconds):
    return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def end(name, namespace, address, service=None, proven=True):
    one = {"address": address, "workload": f"{name}-7d9f", "owner": name, "namespace": namespace, "cluster": "Kubernetes"}
    if proven:
        one["identity"] = f"{DOMAIN}/ns/{namespace}/sa/{name}"
    if service:
        one["service"] = service
    return one


SOCKET = {
    "rttMicroseconds": 412,
    "rttVariationMicroseconds": 90,
    "retransmits": 2,
    "unacknowledgedBytes": 1448,
    "unsentBytes": 0,
    "unreadBytes": 0,
    "peerWindowBytes": 262144,
    "peerLimitedMilliseconds": 17,
    "quietMilliseconds": 230,
}

# Caller, namespace, service, called, namespace, bytes there and back, open, all, refused, broken, reason, protocol.
FLOWS = [
    ("frontend", "shop", "cart.shop.svc.cluster.local", "cart", "shop", 8_400_000, 91_200_000, 14, 2381, 0, 0, None, "hbone"),
    (
        "frontend",
        "shop",
        "catalog.shop.svc.cluster.local",
        "catalog",
        "shop",
        3_100_000,
        640_000_000,
        22,
        5120,
        0,
        3,
        "server_broke",
        "hbone",
    ),
    ("frontend", "shop", "checkout.shop.svc.cluster.local", "checkout", "shop", 910_000, 2_700_000, 3, 402, 0, 0, None, "hbone"),
    ("checkout", "shop", "payment.pay.svc.cluster.local", "payment", "pay", 300_000, 410_000, 1, 398, 0, 0, None, "hbone"),
    ("checkout", "shop", "cart.shop.svc.cluster.local", "cart", "shop", 120_000, 800_000, 2, 391, 0, 0, None, "hbone"),
    ("cart", "shop", None, "redis", "shop", 44_000_000, 71_000_000, 8, 12, 0, 0, None, "hbone"),
    (
        "loadgen",
        "test",
        "frontend.shop.svc.cluster.local",
        "frontend",
        "shop",
        1_900_000,
        22_000_000,
        30,
        9200,
        0,
        0,
        None,
        "hbone",
    ),
    ("loadgen", "test", "payment.pay.svc.cluster.local", "payment", "pay", 0, 0, 0, 17, 17, 0, "policy_denied", "hbone"),
    (
        "batch",
        "jobs",
        "catalog.shop.svc.cluster.local",
        "catalog",
        "shop",
        12_000,
        1_400_000_000,
        1,
        40,
        4,
        0,
        "peer_unreachable",
        "hbone",
    ),
]


def traffic(now):
    items = []
    for caller, its, service, called, there, up, down, is_open, number, refused, broken, reason, protocol in FLOWS:
        one = {
            "direction": "outbound",
            "source": end(caller, its, ""),
            "destination": end(called, there, "", service),
            "protocol": protocol,
            "open": is_open,
            "connections": number,
            "refused": refused,
            "broken": broken,
            "bytes": {"toServer": up, "toClient": down},
            "lastSeen": moment(now, -3),
        }
        if reason:
            one["lastReason"] = reason
        items.append(one)
    stranger = {
        "direction": "outbound",
        "source": end("catalog", "shop", "", proven=False),
        "destination": {"address": "198.51.100.7:443"},
        "protocol": "tcp",
        "open": 1,
        "connections": 9,
        "refused": 0,
        "broken": 0,
        "bytes": {"toServer": 80_000, "toClient": 5_200_000},
        "lastSeen": moment(now, -40),
    }
    hostile = {
        "direction": "inbound",
        "source": end(HOSTILE, HOSTILE, ""),
        "destination": end("frontend", "shop", "", "frontend.shop.svc.cluster.local"),
        "protocol": "hbone",
        "open": 0,
        "connections": 2,
        "refused": 1,
        "broken": 1,
        "bytes": {"toServer": 10, "toClient": 0},
        "lastReason": HOSTILE,
        "lastSeen": moment(now, -400),
    }
    return [*items, stranger, hostile]


def connection(now, at, caller=("frontend", "shop"), called=("cart", "shop")):
    service = f"{called[0]}.{called[1]}.svc.cluster.local"
    return {
        "id": f"{at + 0xC0FFEE:016x}",
        "trace": f"{at:032x}",
        "pod": {"namespace": caller[1], "name": f"{caller[0]}-7d9f"},
        "direction": "outbound",
        "stage": "open",
        "stageMilliseconds": 1000 * at + 40,
        "source": end(*caller, f"10.244.1.{at % 200 + 2}:{40000 + at % 20000}"),
        "destination": end(*called, f"10.244.2.{at % 200 + 2}:8080", service),
        "originalDestination": "10.96.0.7:80",
        "nextHop": "10.244.2.9:15008",
        "authority": "10.244.2.9:8080",
        "protocol": "hbone",
        "began": moment(now, -at),
        "milliseconds": 1000 * at + 57,
        "bytes": {"toServer": 1234 * at, "toClient": 56789 * at},
        "tunnel": "9f3a",
        "network": SOCKET,
        "application": {**SOCKET, "rttMicroseconds": 38},
    }


def crowd(now, number):
    names = ["frontend", "cart", "catalog", "checkout", "payment"]
    return [connection(now, at, (names[at % 5], "shop"), (names[at % 3], "shop")) for at in range(number)]


def refusal(now, at, caller, called, reason, error):
    one = connection(now, at, caller, called)
    one |= {"stage": "ended", "bytes": {"toServer": 0, "toClient": 0}, "milliseconds": 3}
    one["id"] = f"{at + 0xBAD:016x}"
    one["outcome"] = {
        "state": "refused",
        "ended": moment(now, -at),
        "closedBy": "proxy",
        "reason": reason,
        "error": error,
        "flag": "DENY",
    }
    del one["network"], one["application"], one["tunnel"]
    return one


def refusals(now):
    tried = refusal(
        now,
        75,
        ("batch", "jobs"),
        ("catalog", "shop"),
        "peer_unreachable",
        "10.244.2.9:15008 does not answer; is a NetworkPolicy in the way of port 15008?",
    )
    tried["attempts"] = [{"address": "10.244.2.8:15008", "reason": "peer_refused", "error": "connection refused"}]
    return [
        refusal(
            now,
            4,
            ("loadgen", "test"),
            ("payment", "pay"),
            "policy_denied",
            "policies allow some, and none of them spiffe://cluster.local/ns/test/sa/loadgen",
        ),
        refusal(
            now,
            19,
            ("loadgen", "test"),
            ("payment", "pay"),
            "policy_denied",
            "policies allow some, and none of them spiffe://cluster.local/ns/test/sa/loadgen",
        ),
        tried,
        refusal(now, 400, (HOSTILE, HOSTILE), ("frontend", "shop"), HOSTILE, HOSTILE),
    ]


def ended(now):
    done = connection(now, 12)
    done |= {
        "id": "00000000000d0e5d",
        "stage": "ended",
        "outcome": {"state": "complete", "ended": moment(now, -8), "closedBy": "client"},
    }
    cut = connection(now, 50, ("frontend", "shop"), ("catalog", "shop"))
    cut |= {"id": "00000000000d0e5e", "stage": "ended"}
    cut["outcome"] = {
        "state": "broken",
        "ended": moment(now, -30),
        "closedBy": "server",
        "reason": "server_broke",
        "error": "the server has reset the connection",
        "flag": "CONNECT",
    }
    return [done, *refusals(now)[:2], cut]


def pod(now, name, namespace, **more):
    one = {
        "uid": f"uid-{namespace}-{name}",
        "namespace": namespace,
        "name": f"{name}-7d9f",
        "serviceAccount": name,
        "identity": f"{DOMAIN}/ns/{namespace}/sa/{name}",
        "state": "up",
        "since": moment(now, -7300),
        "open": 12,
        "connections": 4812,
        "refused": 0,
        "broken": 0,
        "bytes": {"toServer": 8_400_000, "toClient": 91_200_000},
    }
    return one | more


def pods(now):
    return [
        pod(now, "frontend", "shop", broken=3),
        pod(now, "cart", "shop"),
        pod(now, "loadgen", "test", refused=17, open=30),
        pod(
            now,
            "late",
            "shop",
            state="pending",
            reason="port 15006 is taken in the pod by process 4711",
            since=moment(now, -63),
            open=0,
            connections=0,
        ),
        pod(now, "batch", "jobs", reason="annotation ambient.istio.io/bypass-inbound-capture is not understood", refused=4),
        pod(now, HOSTILE, HOSTILE),
    ]


def identity(now, name, namespace, left, life=86_400, **more):
    leaf = {"serialNumber": "271698711123", "validFrom": moment(now, left - life), "expires": moment(now, left)}
    root = {"serialNumber": "1", "validFrom": moment(now, -1e7), "expires": moment(now, 3e8)}
    one = {
        "identity": f"{DOMAIN}/ns/{namespace}/sa/{name}",
        "state": "available",
        "pods": [{"namespace": namespace, "name": f"{name}-7d9f"}],
        "chain": [leaf],
        "roots": [root],
    }
    return one | more


def identities(now):
    return [
        identity(now, "frontend", "shop", 61_000),
        identity(now, "cart", "shop", 9_000, error="the authority at ca.mesh:15012 does not answer: connection refused"),
        identity(now, "batch", "jobs", -300, state="unavailable", error="the authority refuses: the token has expired"),
        identity(now, "late", "shop", 0, state="initializing", chain=[], roots=[]),
        identity(now, HOSTILE, HOSTILE, 80_000),
    ]


def tunnel(now, number, state, peer):
    return {
        "id": f"9f3{number}",
        "pod": {"namespace": "shop", "name": "frontend-7d9f"},
        "direction": "outbound",
        "state": state,
        "identity": f"{DOMAIN}/ns/shop/sa/frontend",
        "peerIdentity": f"{DOMAIN}/ns/shop/sa/{peer}",
        "localAddress": "10.244.1.5:40412",
        "peerAddress": "10.244.2.9:15008",
        "since": moment(now, -800),
        "streams": 14,
        "capacity": 100,
        "tls": {"version": "TLSv1_3", "cipher": "TLS13_AES_256_GCM_SHA384", "group": "X25519MLKEM768"},
        "network": SOCKET,
    }


def policies():
    only_checkout = {"principals": [{"Exact": "cluster.local/ns/shop/sa/checkout"}], "destinationPorts": [8080]}
    return [
        {
            "name": "only-checkout",
            "namespace": "pay",
            "scope": "Namespace",
            "action": "Allow",
            "dryRun": False,
            "rules": [[[only_checkout]]],
        },
        {
            "name": "no-tests",
            "namespace": "shop",
            "scope": "WorkloadSelector",
            "action": "Deny",
            "dryRun": True,
            "rules": [[[{"namespaces": [{"Exact": "test"}], "notPrincipals": [{"Suffix": "/sa/loadgen"}]}]]],
        },
        {"name": "open", "namespace": HOSTILE, "scope": "Global", "action": "Allow", "dryRun": False, "rules": [[]]},
    ]


def why(question):
    steps = [
        {"what": "service port", "answer": "pass", "found": "payment.pay.svc.cluster.local:80 leads to port 8080 of 2 endpoints"},
        {
            "what": "endpoint",
            "answer": "note",
            "found": "10.244.2.9 is chosen; 10.244.2.8 could not be reached 12 s ago, and is asked last",
        },
        {"what": "certificate", "answer": "pass", "found": "spiffe://cluster.local/ns/test/sa/loadgen, for 16 h more"},
        {"what": "firewall", "answer": "unknown", "found": "nothing was sent: whether port 15008 is open cannot be told"},
        {
            "what": "policy",
            "answer": "stop",
            "found": f"pay/only-checkout allows cluster.local/ns/shop/sa/checkout alone {HOSTILE}",
        },
    ]
    verdict = {
        "culprit": "policy",
        "sentence": "The policies of payment allow some, and spiffe://cluster.local/ns/test/sa/loadgen is not among them.",
        "evidence": ["pay/only-checkout is an Allow policy of the namespace", "no other policy applies to payment-7d9f"],
        "remedy": "Add cluster.local/ns/test/sa/loadgen to pay/only-checkout, if it shall get in.",
    }
    return {"question": question, "steps": steps, "verdict": verdict}


def node(now):
    return {
        "name": "worker-1",
        "version": "0.1.0",
        "network": "",
        "started": moment(now, -7400),
        "ready": True,
        "pending": [],
        "xds": {
            "address": "https://istiod.istio-system.svc:15012",
            "state": "up",
            "since": moment(now, -7390),
            "lastUpdate": moment(now, -31),
        },
        "ca": {
            "address": "https://istiod.istio-system.svc:15012",
            "state": "down",
            "since": moment(now, -95),
            "error": "connection refused",
        },
        "agent": {"socket": "/var/run/ztunnel/ztunnel.sock", "connected": True, "since": moment(now, -7399)},
        "workloads": 214,
        "services": 61,
        "policies": 3,
        "logFilter": "info",
        "droppedLogLines": 0,
        "pods": 6,
        "open": 81,
        "tunnels": 3,
    }


def answers(now):
    live = crowd(now, 81)
    return {
        "node": node(now),
        "pods": pods(now),
        "identities": identities(now),
        "connections": live,
        "recent": ended(now),
        "refusals": refusals(now),
        "traffic": traffic(now),
        "policies": policies(),
        "tunnels": [tunnel(now, 1, "open", "cart"), tunnel(now, 2, "doubtful", "catalog"), tunnel(now, 3, "leaving", HOSTILE)],
        "ejected": [
            {
                "pod": {"namespace": "jobs", "name": "batch-7d9f"},
                "workload": "Kubernetes//Pod/shop/catalog-1",
                "address": "10.244.2.8:15008",
                "seconds": 30,
                "secondsLeft": 12,
            }
        ],
    }


def answer(world, path, query):
    """The status and JSON of `/v1/{path}?{query}`, as a node would give them."""
    if path == "why":
        return 200, why({"about": "hypothetical", **query})
    if path.startswith("connections/"):
        wanted = path.split("/")[1]
        if path.endswith("/why"):
            return 200, why({"about": "connection", "id": wanted})
        for one in [*world["connections"], *world["recent"], *world["refusals"]]:
            if one["id"] == wanted:
                return 200, one
        return 404, {"status": 404, "title": "no such connection", "detail": f"no connection {wanted} is remembered"}
    if path not in world:
        return 404, {"status": 404, "title": "not found", "detail": f"there is no /v1/{path}"}
    if path == "node":
        return 200, world["node"]
    start, limit = int(query.get("after", 0)), int(query.get("limit", 100))
    page = {"items": world[path][start : start + limit]}
    if start + limit < len(world[path]):
        page["next"] = str(start + limit)
    return 200, page
