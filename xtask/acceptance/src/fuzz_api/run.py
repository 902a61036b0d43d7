"""Runs schemathesis as one caller against a server of its own.

Called by `cargo xtask fuzz-api` as `run.py PROGRAM CALLER CASES SEED PHASES FOLDER [DATABASE_URL]`,
CALLER being `admin` or `partner`, SEED a number or `same` for the same cases in every run, PHASES those
of schemathesis, FOLDER an empty folder. `things.py` first makes what the ids in paths can be those of.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from things import SOME_CURSOR, SOME_DELIVERY, Things

# A request that fits the document can still meet a state that forbids it, or what is not there.
# What 400 and 422 may stand here for, `hooks.py` looks at one by one.
ACCEPTED = ["2xx", "401", "403", "404", "409", "422"]
# Refusals come in the order of the contract, so a bad request may first be told something else.
REJECTED = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]

# How many cases are made up for an operation that is not this caller's.
FEW = 5

HERE = os.path.dirname(os.path.abspath(__file__))

# Left out, and why: a deleted org can still be read (contract), and two callers of one partner see
# the same things; visibility between partners has tests of its own.
EXCLUDED = "use_after_free,object_level_authorization"

# Makes orgs as `local` does, and fails where a failed org is wanted.
PROVISIONER = """#!/bin/sh
case "$1 $MOLECULE_ORG_SLUG" in
"provision fuzz-"*-fails-*) echo "this one is to fail" >&2; exit 1 ;;
esac
"""


def main(program, caller, cases, seed, phases, folder, database=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MOLECULE_CP_")}
    environment |= {
        "NO_PROXY": "*",
        "no_proxy": "*",
        "RUST_LOG": "warn",
        "MOLECULE_CP_LISTEN": "127.0.0.1:0",
        "MOLECULE_CP_ADMIN_RATE_LIMIT": "100000000/1",
        "MOLECULE_CP_AUTH_FAILURE_LIMIT": "100000000/1",
        "MOLECULE_CP_PROVISIONER": "exec",
        "MOLECULE_CP_PROVISIONER_EXEC": provisioner(folder),
    }
    if database:
        environment["MOLECULE_CP_DATABASE_URL"] = database
    os.environ.update(NO_PROXY="*", no_proxy="*")

    # Messages that were answered are wanted in the lists, and the only receiver is on this machine. So it
    # is allowed while things are made, and what is fuzzed is the server as it comes.
    server = start(program, folder, environment | {"MOLECULE_CP_WEBHOOK_ALLOW_PRIVATE": "true"})
    try:
        base, admin_key = greeting(server.stdout)
        document = requests.get(base + "/cp/openapi.json", timeout=30).json()
        things = Things(base, admin_key, caller)
        receiver = Receiver()
        things.make(all_scopes(document), receiver.url)
        receiver.shutdown()
        stop(server)
        environment["MOLECULE_CP_LISTEN"] = base.removeprefix("http://")
        server = start(program, folder, environment)
        wait_until_ready(base)
        environment["FUZZED_THINGS"] = os.path.join(folder, "things.json")
        environment["FUZZED_SEEN"] = os.path.join(folder, "seen.json")
        things.write(environment["FUZZED_THINGS"])
        key = admin_key if caller == "admin" else things.caller_key
        few = refused(things, key, document)
        write(os.path.join(folder, "schemathesis.toml"), things, document, int(cases), few)
        failed = fuzz(base, key, cases, seed, phases, folder, environment)
        report(environment["FUZZED_SEEN"])
        return failed
    finally:
        stop(server)


def provisioner(folder):
    path = os.path.join(folder, "provisioner")
    with open(path, "w", encoding="utf-8") as file:
        file.write(PROVISIONER)
    os.chmod(path, 0o755)
    return path


class Receiver(ThreadingHTTPServer):
    """Takes messages, or refuses them, as the path says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(500 if self.path.endswith("refused") else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


def start(program, folder, environment):
    return subprocess.Popen(
        [program], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


def stop(server):
    server.kill()
    server.wait()


def greeting(output):
    """The address and the admin key, from what a first start prints."""
    base = key = None
    for line in output:
        found = re.search(r"mol_ak_[0-9A-Za-z]{50}", line)
        key = found[0] if found else key
        found = re.search(r"(http://[^/ ]+)/cp/", line)
        base = found[1] if found else base
        if base and key:
            return base, key
    raise SystemExit("the server said no address or no admin key; is its database empty?")


def wait_until_ready(base):
    for _ in range(300):
        try:
            if requests.get(base + "/readyz", timeout=30).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server did not start again")


def all_scopes(document):
    key = document["components"]["schemas"]["NewPartnerKey"]
    return key["properties"]["scopes"]["items"]["enum"]


def refused(things, key, document):
    """The operations that this kind of caller may never ask for."""
    told = []
    for path, methods in document["paths"].items():
        filled = re.sub(r"{[^}]*}", things.orgs[0], path)
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            answer = things.ask(method.upper(), filled, key=key)
            if answer.status_code == 403 and answer.json()["code"] == "not-permitted":
                told.append(f"{method.upper()} {path}")
    return told


def fuzz(base, key, cases, seed, phases, folder, environment):
    schemathesis = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    command = [schemathesis, "--config-file", os.path.join(folder, "schemathesis.toml")]
    command += ["run", f"{base}/cp/openapi.json", "-H", f"Authorization: Bearer {key}"]
    command += ["--phases", phases, "--mode", "all"]
    command += ["--checks", "all", "--exclude-checks", EXCLUDED]
    command += ["--generation-deterministic"] if seed == "same" else ["--seed", seed]
    command += ["--continue-on-failure", "--warnings", "off", "--no-color"]
    return subprocess.run(command, cwd=folder, env=environment).returncode


def report(path):
    """Prints how often each operation was answered how."""
    with open(path, encoding="utf-8") as file:
        seen = json.load(file)
    operations = defaultdict(dict)
    for answer, count in sorted(seen.items()):
        operation, _, status = answer.rpartition(" ")
        operations[operation][status] = count
    print(f"\nanswers: {sum(seen.values())}")
    for operation, statuses in operations.items():
        told = "  ".join(f"{status}: {count}" for status, count in statuses.items())
        print(f"  {operation:<70} {told}")


def write(path, things, document, cases, refused):
    codes = ["not-found", "validation-failed"]
    dictionaries = {
        "orgs": things.orgs,
        "keys": things.keys,
        "partners": things.partners,
        "endpoints": things.endpoints,
        "deliveries": [SOME_DELIVERY],
        "cursors": [SOME_CURSOR],
        "again": ["again-1", "again-2", "again-3"],
        "waits": ["wait=1", "respond-async, wait=2"],
        "codes": codes,
        "plans": ["free", "standard", "enterprise"],
        "times": ["2101-01-01T00:00:00Z", "2099-12-31T23:59:59.999999+14:00"],
    }
    hooks = os.path.join(HERE, "hooks.py")
    text = f"hooks = {json.dumps(hooks)}\n[generation]\nmax-examples = {cases}\n"
    for check, statuses in {
        "positive_data_acceptance": ACCEPTED,
        "negative_data_rejection": REJECTED,
        "missing_required_header": REJECTED,
    }.items():
        text += f"[checks.{check}]\nexpected-statuses = {json.dumps(statuses)}\n"
    for name, values in dictionaries.items():
        text += f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n"
    # What no schema can say is mostly said right, or the rest of a request would seldom be read.
    text += "[parameters]\n"
    for parameter, dictionary, probability in [
        ("query.cursor", "cursors", 0.7),
        ("header.Idempotency-Key", "again", 0.3),
        ("header.Prefer", "waits", 0.5),
    ]:
        text += bound(parameter, dictionary, probability)
    for pattern, parameter, dictionary in [
        ("/orgs/", "path.id", "orgs"),
        ("/partner-keys/", "path.id", "keys"),
        ("/partners/", "path.id", "partners"),
        ("/webhook-endpoints/", "path.id", "endpoints"),
        ("/deliveries/", "path.delivery", "deliveries"),
        ("/problems/", "path.code", "codes"),
    ]:
        text += f'[[operations]]\ninclude-path-regex = "{pattern}"\n[operations.parameters]\n'
        text += bound(parameter, dictionary, 0.7)
    for name, parameter, dictionary, probability in [
        ("POST /cp/admin/partner-keys", "body.partner_id", "partners", 0.8),
        ("POST /cp/admin/partner-keys", "body.org_id", "orgs", 0.8),
        ("POST /cp/admin/partner-keys", "body.org_plans[*]", "plans", 0.9),
        ("POST /cp/admin/partner-keys", "body.expires_at", "times", 0.8),
        ("PATCH /cp/admin/partner-keys/{id}", "body.org_plans[*]", "plans", 0.9),
        ("PATCH /cp/admin/partner-keys/{id}", "body.expires_at", "times", 0.8),
        ("POST /cp/orgs", "body.plan", "plans", 0.9),
        ("PUT /cp/admin/orgs/{id}/subscription", "body.plan", "plans", 0.9),
    ]:
        text += f'[[operations]]\ninclude-name = "{name}"\n[operations.parameters]\n'
        text += bound(parameter, dictionary, probability)
    # A cursor belongs to one list with its filters, which no document can say.
    for name, methods in document["paths"].items():
        parameters = methods.get("get", {}).get("parameters", [])
        if any(parameter["name"] == "cursor" for parameter in parameters):
            text += f'[[operations]]\ninclude-name = "GET {name}"\n'
            text += "[operations.checks.positive_data_acceptance]\n"
            text += f"expected-statuses = {json.dumps(ACCEPTED + ['400'])}\n"
    # Which token is right no document can say, and OAuth's errors are all 400.
    text += '[[operations]]\ninclude-name = "POST /cp/token"\n'
    text += "[operations.checks.positive_data_acceptance]\n"
    text += f"expected-statuses = {json.dumps(ACCEPTED + ['400'])}\n"
    # A refusal that looks at nothing but who calls: a few times are enough.
    for name in sorted(refused):
        text += f'[[operations]]\ninclude-name = "{name}"\n'
        text += f"[operations.generation]\nmax-examples = {min(cases, FEW)}\n"
    if things.caller == "partner":
        # A key that revokes itself would end the run; the contract's tests have that.
        text += '[[operations]]\ninclude-name = "DELETE /cp/admin/partner-keys/{id}"\nenabled = false\n'
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def bound(parameter, dictionary, probability):
    return f'"{parameter}" = {{ dictionary = "{dictionary}", probability = {probability} }}\n'


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
