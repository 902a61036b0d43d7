"""An org for as long as a pipeline needs it, with the client that README.md makes.

MOLCTL_SERVER is the address of the control plane, MOLCTL_KEY a partner key with orgs:create, orgs:list,
orgs:delete and workspaces:create.
"""

import os
import secrets
import sys
import time
import uuid

import httpx
from molecule_client import AuthenticatedClient
from molecule_client.api.orgs import create_org, create_workspace, delete_org, get_org_status, list_workspaces
from molecule_client.models import NewOrg, NewWorkspace, Problem

# An answer to a poll is held for up to 50 seconds.
client = AuthenticatedClient(os.environ["MOLCTL_SERVER"], os.environ["MOLCTL_KEY"], timeout=httpx.Timeout(60))


def done(call, *args, **kwargs):
    """Makes a call, again after 429 and 503 when the server says so, and returns what it answers with.

    A call that creates something has an Idempotency-Key: made again, it creates nothing twice.
    """
    for last in [False, False, False, True]:
        response = call.sync_detailed(*args, client=client, **kwargs)
        if response.status_code not in (429, 503) or last:
            break
        time.sleep(int(response.headers.get("Retry-After", 1)))
    if isinstance(response.parsed, Problem):
        sys.exit(f"{response.parsed.code}: {response.parsed.detail} ({response.parsed.request_id})")
    return response.parsed


def wait(org, pending):
    """Waits until the server is no longer at work on an org, for ten minutes at the most."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        state = done(get_org_status, org.id, prefer="wait=50")
        if state.status != pending:
            return state
    sys.exit(f"{org.id} is still {pending}")


# The lease sees to a machine that dies before the deletion.
slug = f"ci-{secrets.token_hex(8)}"
org = done(
    create_org,
    body=NewOrg(name="A pipeline", slug=slug, plan="free", ttl_seconds=3600),
    idempotency_key=str(uuid.uuid4()),
)
try:
    state = wait(org, "provisioning")
    if state.status != "ready":
        sys.exit(f"{org.id} is {state.status}: {state.failure.message if state.failure else ''}")
    done(create_workspace, org.id, body=NewWorkspace(name="QA team"), idempotency_key=str(uuid.uuid4()))
    print("ready", org.id, state.login_url)
    print("workspaces", *(workspace.slug for workspace in done(list_workspaces, org.id).data))
finally:
    done(delete_org, org.id)
print(wait(org, "deprovisioning").status)
