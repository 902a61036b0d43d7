"""What schemathesis can't know by itself: texts of our own formats, and when a right body may be refused.

Schemathesis loads this file; `run.py` tells it by the environment where to find what is on the server.
"""

import atexit
import ipaddress
import json
import os
import re
import sys
from collections import Counter
from datetime import datetime, timezone
from urllib.parse import urlsplit

import hypothesis
import schemathesis
from hypothesis import strategies as st

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from things import Things  # noqa: E402

THINGS = Things.read(os.environ["FUZZED_THINGS"])
CALLER = THINGS.caller
# The plans of a server that was told nothing else.
PLANS = {"free", "standard", "enterprise"}
# How often each operation was answered how, for the report of `run.py`.
SEEN = Counter()


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

# Webhooks are really sent, so no URL names anybody's machine: names that never resolve (RFC 6761), and
# addresses that must be refused.
NOBODY = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8})?\.(invalid|localhost)", fullmatch=True)
INWARD = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0", "10.1.2.3", "169.254.169.254",
    "192.168.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[fe80::1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]",
]
schemathesis.openapi.format(
    "uri",
    st.builds(
        lambda scheme, host, port, rest: f"{scheme}://{host}{port}{rest}",
        st.sampled_from(["https"] * 9 + ["http"]),
        st.one_of(NOBODY, NOBODY, NOBODY, st.sampled_from(INWARD)),
        st.one_of(st.just(""), st.integers(0, 65535).map(lambda port: f":{port}")),
        st.from_regex(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,12}){0,3}(\?[a-z0-9=&]{0,12})?(#[a-z]{0,3})?", fullmatch=True),
    ),
)


# Schemathesis tells Hypothesis which cases were accepted, and Hypothesis then makes those simpler and simpler.
# With 40 cases for an operation a third of the time went into that, with 150 four fifths, and such cases hardly
# differ. What `things.py` puts into the cases gets them accepted, so the time is better spent on other ones.
hypothesis.target = lambda observation, *, label="": observation


@schemathesis.hook
def before_call(context, case, kwargs):
    THINGS.lead(case)
    if case.operation.label == "POST /cp/token":
        kwargs["auth"] = without_credential


def without_credential(request):
    """Takes out what every call has: the token in the body is the proof, and a credential beside it is refused."""
    request.headers.pop("Authorization", None)
    return request


@schemathesis.hook
def after_call(context, case, response):
    SEEN[f"{case.operation.label} {response.status_code}"] += 1
    THINGS.follow(case, response)


@atexit.register
def write_what_was_seen():
    with open(os.environ["FUZZED_SEEN"], "w", encoding="utf-8") as file:
        json.dump(SEEN, file)


@schemathesis.check
def no_scope_is_missing(ctx, response, case):
    """The partner's key has all scopes: that one is missing would hide what lies behind the refusal."""
    refused = response.status_code == 403 and response.json()["code"] == "insufficient-scope"
    assert not refused, f"a scope is missing: {response.json()}"


@schemathesis.check
def no_inward_url_is_taken(ctx, response, case):
    """A webhook endpoint leads to the public internet alone."""
    if case.operation.label == "POST /cp/webhook-endpoints" and response.status_code == 201:
        assert not leads_inward(response.json()["url"]), response.json()["url"]


@schemathesis.check
def errors_point_into_the_body(ctx, response, case):
    """Each error of a 422 is at something that was sent, or at what is missing in it."""
    if response.status_code == 422 and isinstance(case.body, dict):
        for error in response.json().get("errors") or []:
            around = error["pointer"].rpartition("/")[0]
            assert is_there(case.body, around), f"nothing was sent around {error}: {case.body}"


@schemathesis.check
def a_right_body_is_taken(ctx, response, case):
    """A 422 for what the document allows is a finding, unless each of its errors says what no schema can.

    That is believed only after a look at what was sent, or at what is there.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code == 400 and case.operation.label == "POST /cp/token":
        refused = response.json()
        assert "Authorization" not in refused["error_description"], f"it was not looked at: {refused}"
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
        assert is_there(body, error["pointer"]), f"nothing was sent at {error}: {body}"
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
        return problem["detail"].startswith('The parameter "partner_id" is unknown')
    times = ("since", "until", "created_since", "created_until", "expires_before")
    return any(name in query and moment(query[name]) is None for name in times)


def moment(text):
    """A time in UTC; `None` when UTC has no such year."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (OverflowError, ValueError):
        return None


def there(path):
    """What an admin finds at a path."""
    answer = THINGS.ask("GET", path)
    return answer.json() if answer.ok else None


def is_there(value, pointer):
    """Whether a JSON pointer (RFC 6901) names a value."""
    for name in pointer.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return False
    return True


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


def empty_period(case, body, pointer):
    """One of the two may be left to what the org has; what was sent is named, and of two the end."""
    told = body.get("subscription", body)
    start, end = told.get("current_period_start"), told.get("current_period_end")
    if start and end:
        start, end = moment(start), moment(end)
        return None in (start, end) or (end <= start and pointer.endswith("_end"))
    return bool(start or end)


def reserved(case, body, pointer):
    """Which slugs are is the operator's choice; these are some of the built-in ones."""
    return body["slug"] in {"app", "www", "api", "admin", "cp", "dev", "doc", "docs", "sso", "cdn"}


def too_many_with_those_there(case, body, pointer):
    """A patch adds to the labels that are there; nulls take away and can be any number."""
    return case.method == "PATCH" and len([v for v in body["labels"].values() if v is not None]) > 0


def unfit_for_one_org(case, body, pointer):
    """A key that is bound to an org can't manage the partner's webhooks."""
    bound = body.get("org_id")
    if case.method == "PATCH":
        bound = there(f"/cp/admin/partner-keys/{case.path_parameters['id']}")["org_id"]
    return bound is not None and "webhooks:manage" in body["scopes"]


def both_lease_and_protection(case, body, pointer):
    """An org has one of them; a key may give it the lease, or it has had one before."""
    asked = body.get("delete_protection") is True
    return asked and (pointer == "/delete_protection" or body.get("ttl_seconds") is not None)


def too_long_options(case, body, pointer):
    """Whether the options that there are, or those that are sent, may be longer than 16 KiB together."""
    return len(json.dumps(body["options"])) > 8 * 1024


def no_such_time(case, body, pointer):
    return moment(body[pointer[1:]]) is None


def leads_inward(url):
    """Whether its host is this machine, or an address that is not public in one of its spellings."""
    host = urlsplit(url).hostname or ""
    return f"[{host}]" in INWARD or host in INWARD or host.endswith("localhost")


def refused_url(case, body, pointer):
    parts = urlsplit(body["url"])
    odd = parts.scheme != "https" or "#" in body["url"] or parts.port == 0
    return odd or leads_inward(body["url"])


def full_of_endpoints(case, body, pointer):
    told = THINGS.ask("GET", "/cp/webhook-endpoints?limit=100", key=THINGS.caller_key)
    return len(told.json()["data"]) == 16


def refused_issuer(case, body, pointer):
    """It is a URL without a user, a query or a fragment, and its host and port are right."""
    return not re.fullmatch(r"https://[a-z0-9.-]+(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~/-]*)?", body["issuer"])


def no_right_claims(case, body, pointer):
    """A provider's rule names certain claims, and a patch leaves at least one and at most 16."""
    providers = ("token.actions.githubusercontent.com", "gitlab.com")
    return case.method == "PATCH" or urlsplit(body["issuer"]).hostname in providers


def refused_claim(case, body, pointer):
    """Some claims are checked in every token; values are strings, whole numbers, true or false, or a list of them."""
    _, member, *at = pointer.split("/")
    name = at[0].replace("~1", "/").replace("~0", "~")
    value = body[member][name]
    if len(at) == 2:
        return not is_claim_value(value[int(at[1])])
    if name in ("iss", "aud", "exp", "nbf", "iat", "jti"):
        return True
    if isinstance(value, list):
        return len(value) > 64 or (not value and member == "claims")
    return not is_claim_value(value)


def is_claim_value(value):
    if isinstance(value, str):
        return 1 <= len(value) <= 255 and "*" not in value and not re.search(r"[\x00-\x1f\x7f-\x9f]", value)
    return isinstance(value, bool) or (isinstance(value, int) and -(2**63) <= value < 2**63)


# The pointers at which a right body may be refused, and how to see that it is so.
REASONS = [
    ("/partner_id", no_such_partner),
    ("/org_id", no_such_org),
    ("/plan", unknown_plan),
    (r"/org_plans/\d+", unknown_org_plan),
    ("/expires_at", not_in_the_future),
    ("(/subscription)?/(current_period_start|current_period_end)", empty_period),
    ("(/subscription)?/cancel_at", no_such_year),
    ("/slug", reserved),
    ("/(ttl_seconds|delete_protection)", both_lease_and_protection),
    ("/options", too_long_options),
    ("/(since|until)", no_such_time),
    ("/labels", too_many_with_those_there),
    ("/scopes", unfit_for_one_org),
    ("/url", refused_url),
    ("/issuer", refused_issuer),
    ("/claims", no_right_claims),
    ("/(claims|refuse)/.*", refused_claim),
    ("", full_of_endpoints),
]
