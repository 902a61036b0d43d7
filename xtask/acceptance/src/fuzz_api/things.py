"""What there is on the server of a run beside what the cases make: a partner, keys, orgs, webhook endpoints.

Their first ids stand in the dictionaries from which paths and bodies are filled. What a case uses up, an
org that it deletes or a key that it revokes, is made again, and whoever asks for the first id is led to the
one that took its place: else the first deletions would leave nothing to ask for. Every fourth is left as it
ended, so that what is gone is asked for too.
"""

import json
import time
import zlib

import requests

WIDE = {"limit": 100_000_000, "window_seconds": 1}
ORGS = 12
KEYS = 8
# Orgs that the program of `run.py` fails to make, and those with a lease.
FAILING = range(0, ORGS, 4)
LEASED = range(1, ORGS, 4)
# How many endpoints of the cases' own making are kept: a partner may have 16.
KEPT_ENDPOINTS = 6
# In place of what only an earlier answer can tell.
SOME_CURSOR = "c29tZSBjdXJzb3I"
SOME_DELIVERY = "whd_01HXKM4000000000000000000A"

# One connection for all that is asked beside the cases.
CONNECTION = requests.Session()


def chance(value):
    """A number that is the same for the same value in every run."""
    return zlib.crc32(json.dumps(value, sort_keys=True, default=str).encode())


class Things:
    """What is there, and the ids that took the place of others."""

    def __init__(self, base, admin_key, caller):
        self.base, self.admin_key, self.caller = base, admin_key, caller
        self.made = 0
        self.stand_ins = {}
        self.cursors = {}
        self.endpoints_made = []
        self.suspended = []

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        things = cls(told["base"], told["admin_key"], told["caller"])
        things.__dict__ |= told
        return things

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.__dict__, file)

    def ask(self, method, path, body=None, key=None):
        headers = {"Authorization": f"Bearer {key or self.admin_key}"}
        return CONNECTION.request(
            method, self.base + path, json=body, headers=headers, timeout=30
        )

    def post(self, path, body, key=None):
        answer = self.ask("POST", path, body, key)
        assert answer.ok, (path, answer.text)
        return answer.json()

    # What there is at the beginning.

    def make(self, scopes, receiver):
        self.scopes = scopes
        self.find_a_home()
        self.partners = [self.partner]
        self.partners += [self.new_partner() for _ in range(2)]
        self.caller_key = self.maker
        self.keys = [self.new_key(n) for n in range(KEYS)]
        self.orgs = [self.new_org(n) for n in range(ORGS)]
        self.endpoints, self.deliveries = [], {}
        for path in ("taken", "taken", "refused", "refused"):
            self.new_endpoint(f"{receiver}/{path}")
        self.wait_until_settled()

    def find_a_home(self):
        """A partner, and a key that orgs are made with."""
        self.partner = self.new_partner()
        made = self.post(
            "/cp/admin/partner-keys",
            {"name": "the maker", "partner_id": self.partner, "scopes": self.scopes, "rate_limit": WIDE},
        )
        self.maker, self.maker_id = made["key"], made["id"]

    def new_partner(self):
        body = {"name": f"fuzzed as {self.caller}", "plan": "enterprise"}
        return self.post("/cp/admin/partners", body)["id"]

    def new_key(self, n):
        self.made += 1
        body = {"name": f"key {n}", "partner_id": self.partner, "scopes": self.scopes}
        return self.post("/cp/admin/partner-keys", body)["id"]

    def new_org(self, n):
        self.made += 1
        kind = "fails" if n in FAILING else "works"
        body = {
            "name": f"Org {n}",
            "slug": f"fuzz-{self.caller}-{kind}-{self.made}",
            "plan": "standard",
            "labels": {"run": str(n)},
        }
        if n in LEASED:
            body["ttl_seconds"] = 2_592_000
        return self.post("/cp/orgs", body, self.maker)["id"]

    def new_endpoint(self, url):
        body = {"url": url, "events": ["org.suspended", "key.revoked"]}
        endpoint = self.post("/cp/webhook-endpoints", body, self.maker)["id"]
        path = f"/cp/webhook-endpoints/{endpoint}/test"
        self.deliveries[endpoint] = self.post(path, None, self.maker)["id"]
        self.endpoints.append(endpoint)

    def wait_until_settled(self):
        for _ in range(300):
            orgs = [self.ask("GET", f"/cp/admin/orgs/{org}").json() for org in self.orgs]
            tried = [
                self.ask("GET", f"/cp/webhook-endpoints/{endpoint}/deliveries", key=self.maker).json()
                for endpoint in self.endpoints
            ]
            if all(org["status"] in ("ready", "failed") for org in orgs) and all(
                told["data"][0]["attempts"] > 0 for told in tried
            ):
                return
            time.sleep(0.1)
        raise SystemExit("the orgs or the deliveries did not settle")

    # What stands for what.

    def lead(self, case):
        """Puts into a case what is there by now in place of what was there at first."""
        path, label = case.path_parameters or {}, case.operation.label
        if path.get("id") in self.orgs:
            path["id"] = self.fitting(label, path["id"])
        if "id" in path:
            path["id"] = self.stand_ins.get(path["id"], path["id"])
        if path.get("delivery") == SOME_DELIVERY:
            path["delivery"] = self.deliveries.get(path.get("id"), SOME_DELIVERY)
        if isinstance(case.body, dict) and isinstance(case.body.get("org_id"), str):
            case.body["org_id"] = self.stand_ins.get(case.body["org_id"], case.body["org_id"])
        right = case.meta is not None and case.meta.generation.mode.is_positive
        if right and case.query:
            self.lead_query(case, label)

    def fitting(self, label, org):
        """For every other call that needs an org of one kind, one of that kind."""
        kinds = {
            "POST /cp/admin/orgs/{id}/retry": [self.orgs[n] for n in FAILING],
            "POST /cp/admin/orgs/{id}/resume": self.suspended[-1:],
            "POST /cp/orgs/{id}/renew": [self.orgs[n] for n in LEASED],
        }
        n = self.orgs.index(org)
        kind = kinds.get(label)
        return kind[n // 2 % len(kind)] if kind and n % 2 else org

    def lead_query(self, case, label):
        query = case.query
        if query.get("cursor") == SOME_CURSOR:
            # A cursor belongs to one list with its filters.
            before = self.cursors.get(label)
            if before:
                path, query = before
                case.path_parameters = dict(path)
                case.query = dict(query)
            else:
                case.query = {name: value for name, value in query.items() if name != "cursor"}
        elif isinstance(query.get("label"), list) and chance(query["label"]) % 2:
            query["label"] = [f"run:{chance(query['label']) // 2 % ORGS}"]

    # What an answer changes.

    def follow(self, case, response):
        """Notes what a call has used up or told."""
        label, status = case.operation.label, response.status_code
        if case.method == "DELETE" and status in (202, 204):
            gone = {(case.path_parameters or {}).get("id")}
            if label == "DELETE /cp/orgs":
                gone = {org["id"] for org in response.json()["data"]}
            self.replace(gone)
        elif label == "POST /cp/admin/orgs/{id}/suspend" and status == 200:
            self.suspended.append(case.path_parameters["id"])
        elif label == "POST /cp/admin/orgs/{id}/resume" and case.path_parameters:
            # Resumed, or found to be in another state than was thought.
            self.suspended = [org for org in self.suspended if org != case.path_parameters["id"]]
        elif case.method == "GET" and status == 200 and response.text.startswith('{"data":'):
            told = response.json()
            if told["has_more"]:
                query = dict(case.query or {}) | {"cursor": told["next_cursor"]}
                self.cursors[label] = (dict(case.path_parameters or {}), query)
        elif label == "POST /cp/webhook-endpoints" and status == 201:
            self.endpoints_made.append(response.json()["id"])
            if len(self.endpoints_made) > KEPT_ENDPOINTS:
                oldest = self.endpoints_made.pop(0)
                self.ask("DELETE", f"/cp/webhook-endpoints/{oldest}", key=self.caller_key)

    def replace(self, gone):
        for firsts, new in [(self.orgs, self.new_org), (self.keys, self.new_key)]:
            for n, first in enumerate(firsts):
                if self.stand_ins.get(first, first) in gone and n % 4 != 3:
                    self.stand_ins[first] = self.made_again(new, n)
        for n, first in enumerate(self.endpoints):
            if self.stand_ins.get(first, first) in gone and n % 4 != 3:
                path = "/cp/webhook-endpoints"
                body = {"url": f"https://hooks-{n}.invalid/", "events": ["org.suspended"]}
                made = self.post(path, body, self.caller_key)["id"]
                self.deliveries[made] = self.post(f"{path}/{made}/test", None, self.caller_key)["id"]
                self.stand_ins[first] = made

    def made_again(self, new, n):
        try:
            return new(n)
        except AssertionError:
            # An admin's cases can revoke the key or change the partner that things are made with.
            self.find_a_home()
            return new(n)
