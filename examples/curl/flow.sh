#!/usr/bin/env bash
# An org for as long as a command runs, with curl and jq alone: flow.sh COMMAND…
#
# MOLCTL_SERVER is the address of the control plane, MOLCTL_KEY a partner key with orgs:create and orgs:delete.
# The command finds the org in ORG_ID and LOGIN_URL; its exit code is the script's.
set -euo pipefail

: "${MOLCTL_SERVER:?}" "${MOLCTL_KEY:?}"
label="run_id:${RUN_ID:-$(date +%s)-$$}"
slug="ci-$(printf %s "$label" | sha256sum | cut -c1-16)"

# One call: method, path, further arguments of curl. It is tried again after 429, 503 and failures of the network, as
# Retry-After says. The key is read from a file descriptor: arguments can be read by others.
call() {
    local method=$1 path=$2
    shift 2
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --retry-max-time 60 \
        --header @<(printf 'Authorization: Bearer %s' "$MOLCTL_KEY") \
        --request "$method" "$MOLCTL_SERVER$path" "$@"
}

# Whatever happens from here on, the org goes; its lease sees to a machine that dies.
trap 'call DELETE /cp/orgs --get --data-urlencode "label=$label" > /dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

org=$(jq -n --arg slug "$slug" --arg mark "$label" '{
    name: $slug, slug: $slug, plan: "free", ttl_seconds: 3600,
    labels: {($mark | split(":")[0]): ($mark | split(":")[1:] | join(":"))}
}' | call POST /cp/orgs --header "Idempotency-Key: \"$label\"" --json @-)
ORG_ID=$(jq -r .id <<< "$org")

# Each answer is held until the status changes, for 50 seconds at the most.
status=provisioning
deadline=$((SECONDS + 600))
while [ "$status" = provisioning ] && [ "$SECONDS" -lt "$deadline" ]; do
    state=$(call GET "/cp/orgs/$ORG_ID/status" --header 'Prefer: wait=50' --max-time 60)
    status=$(jq -r .status <<< "$state")
done
if [ "$status" != ready ]; then
    jq . <<< "$state" >&2
    exit 1
fi
LOGIN_URL=$(jq -r .login_url <<< "$state")
export ORG_ID LOGIN_URL

# Beside the shell, for a shell hears no signal while it waits for a command in the foreground.
"$@" <&0 &
command=$!
trap 'kill "$command"; exit 130' INT
trap 'kill "$command"; exit 143' TERM
wait "$command"
