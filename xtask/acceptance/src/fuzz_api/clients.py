"""Makes a client of the document with a generator that many use, and imports all of it.

Called as `clients.py PROGRAM FOLDER`, FOLDER being an empty one. The document is checked by
openapi-spec-validator first.
"""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

# Every operation of a caller has a function in a module; what is left is models.
FEWEST_MODULES = 60


def main(program, folder):
    text = subprocess.run([program, "openapi"], check=True, capture_output=True, text=True).stdout
    document = json.loads(text)
    errors = [f"{list(error.path)}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    if errors:
        raise SystemExit("the document is not OpenAPI 3.1:\n" + "\n".join(errors))

    source = Path(folder) / "openapi.json"
    source.write_text(text)
    # Its formatter is left out: nobody reads this client.
    config = Path(folder) / "config.json"
    config.write_text(json.dumps({"post_hooks": [], "package_name_override": "made_client"}))
    client = Path(folder) / "client"
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
        + ["--path", source, "--config", config, "--output-path", client / "made_client"],
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise SystemExit("openapi-python-client refuses the document:\n" + made.stdout + made.stderr)
    sys.path.insert(0, str(client))
    package = importlib.import_module("made_client")
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, "made_client.")]
    for module in modules:
        importlib.import_module(module)
    if len(modules) < FEWEST_MODULES:
        raise SystemExit(f"the client has {len(modules)} modules only")
    known(importlib.import_module("made_client.models"))
    print(f"a Python client of {len(modules)} modules imports")


def known(models):
    """A value that this version does not know is no error for a client."""
    document = {
        "id": "org_01J9ZK6V3QG8W0T5N4R2M7XACD",
        "slug": "acme-corp",
        "status": "hibernating",
        "created_at": "2026-04-23T08:00:00.000000Z",
        "updated_at": "2026-04-23T08:00:00.000000Z",
        "login_url": "https://app.example.com/login?org=acme-corp",
        "steps": [],
        "failure": None,
        "a_new_member": 1,
    }
    state = models.OrgState.from_dict(document)
    if state.status != "hibernating":
        raise SystemExit(f"the client reads another status: {state.status}")


if __name__ == "__main__":
    main(*sys.argv[1:])
