"""What schemathesis can't know by itself: texts of our own formats, and when a right body may be refused.

Schemathesis loads this file; `run.py` tells it the server and the admin key by the environment.
"""

import ipaddress
import os
import re
from datetime import datetime, timezone

import requests
import schemathesis
from hypothesis import strategies as st

BASE = os.environ["FUZZED_BASE"]
ADMIN_KEY = os.environ["FUZZED_ADMIN_KEY"]
CALLER = os.environ["FUZZED_CALLER"]
# The plans of a server that was told nothing else.
PLANS = {"free", "standard", "enterprise"}


def network(packed, length, kind):
    """The network of an address: the bits beyond the prefix are 0."""
    return str(kind((packed, length), strict=False))


schemathesis.openapi.format(
    "cidr",
    st.one_of(
        st.builds(network, st.integers(0, 2**32 - 1), st.integers(0, 32), st.just(ipaddress.IPv4Network)),
        st.builds(network, st.integers(0, 2**128 - 1), st.integers(0, 128), st.just(ipaddress.IPv6Network)),
        st.ip_addresses().map(str),
    ),
)


@schemathesis.check
def a_right_body_is_taken(ctx, response, case):
    """A 422 for what the document allows is a finding, unless each of its errors says what no schema can.

    That is believed only after a look at what was sent, or at what is there.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code == 400:
        problem = response.json()
        assert excused_query(case.query or {}, problem), f"a right query is refused: {problem}"
    if response.status_code != 422:
        return
    problem = response.json()
    if problem["code"] == "idempotency-key-reused":
        assert header(case, "Idempotency-Key"), f"no Idempotency-Key was sent: {problem}"
        return
    body = case.body if isinstance(case.body, dict) else {}
    assert problem["errors"], f"nothing is named: {problem}"
    for error in problem["errors"]:
        reason = next((why for where, why in REASONS if re.fullmatch(where, error["pointer"])), None)
        excused = reason and reason(case, body, error["pointer"])
        assert excused, f"a right body is refused at {error}: {body}"


def header(case, name):
    return next((v for k, v in (case.headers or {}).items() if k.lower() == name.lower()), None)


def excused_query(query, problem):
    """A cursor belongs to one list with its filters, one parameter is for admins, and a time can lie
    outside of the years in UTC."""
    if problem["code"] == "invalid-cursor":
        return "cursor" in query
    if CALLER == "partner" and "partner_id" in query:
        return problem["detail"].startswith('the parameter "partner_id" is unknown')
    return any(name in query and moment(query[name]) is None for name in ("since", "until"))


def moment(text):
    """A time in UTC; `None` when UTC has no such year."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (OverflowError, ValueError):
        return None


def there(path):
    """What an admin finds at a path."""
    answer = requests.get(BASE + path, headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=30)
    return answer.json() if answer.ok else None


def no_such_partner(case, body, pointer):
    return there(f"/cp/admin/partners/{body['partner_id']}") is None


def no_such_org(case, body, pointer):
    """It is not there, or gone, or another partner's."""
    org = there(f"/cp/admin/orgs/{body['org_id']}")
    named = body.get("partner_id")
    return org is None or org["status"] == "deleted" or named not in (None, org["partner_id"])


def unknown_plan(case, body, pointer):
    return body["plan"] not in PLANS


def unknown_org_plan(case, body, pointer):
    return body["org_plans"][int(pointer.rpartition("/")[2])] not in PLANS


def not_in_the_future(case, body, pointer):
    end = moment(body["expires_at"])
    return end is None or end <= datetime.now(timezone.utc)


def no_such_year(case, body, pointer):
    *_, member = pointer.split("/")
    return moment(body.get("subscription", body)[member]) is None


def period_without_end(case, body, pointer):
    """One of the two may be left to what the org has."""
    told = body.get("subscription", body)
    start, end = told.get("current_period_start"), told.get("current_period_end")
    if start and end:
        start, end = moment(start), moment(end)
        return None in (start, end) or end <= start
    return bool(start or end)


def reserved(case, body, pointer):
    """Which slugs are is the operator's choice; these are some of the built-in ones."""
    return body["slug"] in {"app", "www", "api", "admin", "cp", "dev", "doc", "docs", "sso", "cdn"}


def too_many_with_those_there(case, body, pointer):
    """A patch adds to the labels that are there; nulls take away and can be any number."""
    return case.method == "PATCH" and len([v for v in body["labels"].values() if v is not None]) > 0


# The pointers at which a right body may be refused, and how to see that it is so.
REASONS = [
    ("/partner_id", no_such_partner),
    ("/org_id", no_such_org),
    ("/plan", unknown_plan),
    (r"/org_plans/\d+", unknown_org_plan),
    ("/expires_at", not_in_the_future),
    ("(/subscription)?/current_period_end", period_without_end),
    ("(/subscription)?/(current_period_start|current_period_end|cancel_at)", no_such_year),
    ("/slug", reserved),
    ("/labels", too_many_with_those_there),
]
