"""Makes a partner, keys and orgs on a running server, and writes the settings for one run.

Called as `seed.py BASE ADMIN_KEY CALLER FOLDER`, CALLER being `admin` or `partner`.
"""

import json
import os
import sys
import time

import requests

WIDE = {"limit": 100_000_000, "window_seconds": 1}
SCOPES = [
    "orgs:create",
    "orgs:list",
    "orgs:delete",
    "workspaces:create",
    "billing:read",
    "audit:read",
]

# A request that fits the document can still meet a state that forbids it, or what is not there.
ACCEPTED = ["2xx", "401", "403", "404", "409", "422"]
# Refusals come in the order of the contract, so a bad request may first be told something else.
REJECTED = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]


def main(base, admin_key, caller, folder):
    def post(path, body, key=admin_key):
        answer = requests.post(
            base + path, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        assert answer.ok, (path, answer.text)
        return answer.json()

    partner = post(
        "/cp/admin/partners", {"name": f"fuzzed as {caller}", "plan": "enterprise"}
    )["id"]

    def new_key(name):
        return post(
            "/cp/admin/partner-keys",
            {"name": name, "partner_id": partner, "scopes": SCOPES, "rate_limit": WIDE},
        )

    mine = new_key("the caller")
    keys = [new_key(f"beside {n}")["id"] for n in range(4)]
    orgs = []
    for n in range(12):
        org = post(
            "/cp/orgs",
            {"name": f"Org {n}", "slug": f"fuzz-{caller}-{n}", "plan": "standard"},
            mine["key"],
        )
        orgs.append(org["id"])
    wait_until_ready(base, mine["key"], orgs)
    write(os.path.join(folder, f"{caller}.toml"), caller, partner, keys, orgs)
    # A partner key that revokes itself would end its own run.
    print(admin_key if caller == "admin" else mine["key"])


def wait_until_ready(base, key, orgs):
    headers = {"Authorization": f"Bearer {key}"}
    for _ in range(300):
        told = [
            requests.get(f"{base}/cp/orgs/{org}", headers=headers, timeout=30).json()
            for org in orgs
        ]
        if all(org["status"] == "ready" for org in told):
            return
        time.sleep(0.1)
    raise SystemExit("the orgs did not become ready")


def write(path, caller, partner, keys, orgs):
    codes = ["not-found", "validation-failed"]
    lists = {"orgs": orgs, "keys": keys, "partners": [partner], "codes": codes}
    text = ""
    for check, statuses in {
        "positive_data_acceptance": ACCEPTED,
        "negative_data_rejection": REJECTED,
        "missing_required_header": REJECTED,
    }.items():
        text += f"[checks.{check}]\nexpected-statuses = {json.dumps(statuses)}\n"
    for name, values in lists.items():
        text += f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n"
    for pattern, parameter, name in [
        ("/orgs/", "path.id", "orgs"),
        ("/partner-keys/", "path.id", "keys"),
        ("/partners/", "path.id", "partners"),
        ("/problems/", "path.code", "codes"),
    ]:
        text += f'[[operations]]\ninclude-path-regex = "{pattern}"\n[operations.parameters]\n'
        text += f'"{parameter}" = {{ dictionary = "{name}", probability = 0.7 }}\n'
    if caller == "partner":
        # Its own revocation ends a run; the calls of tests made for it cover it.
        text += '[[operations]]\ninclude-name = "DELETE /cp/admin/partner-keys/{id}"\nenabled = false\n'
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


main(*sys.argv[1:])
