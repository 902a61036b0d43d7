// An org for as long as a pipeline needs it.
//
// MOLCTL_SERVER is the address of the control plane, MOLCTL_KEY a partner key with orgs:create, orgs:list,
// orgs:delete and workspaces:create.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.d.ts";

const { MOLCTL_SERVER: baseUrl, MOLCTL_KEY: key } = process.env;
if (!baseUrl || !key) throw new Error("Set MOLCTL_SERVER and MOLCTL_KEY.");

const api = createClient<paths>({
  baseUrl,
  headers: { Authorization: `Bearer ${key}` },
  // Again after 429 and 503, when the server says so. A call that creates something has an Idempotency-Key: made
  // again, it creates nothing twice.
  async fetch(request) {
    for (let tries = 1; ; tries++) {
      const response = await fetch(request.clone());
      if (![429, 503].includes(response.status) || tries === 4) return response;
      await sleep(Number(response.headers.get("Retry-After") ?? 1));
    }
  },
});

const sleep = (seconds: number) => new Promise((done) => setTimeout(done, 1000 * seconds));

type Problem = components["schemas"]["Problem"];

/** What a call answers with; a refusal is an exception. */
function done<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(error && `${error.code}: ${error.detail} (${error.request_id})`);
  return data;
}

/** Waits until the server is no longer at work on an org, for ten minutes at the most. */
async function wait(id: string, pending: string) {
  const end = Date.now() + 600_000;
  while (Date.now() < end) {
    // The answer is held for up to 50 seconds.
    const params = { path: { id }, header: { Prefer: "wait=50" } };
    const state = done(await api.GET("/cp/orgs/{id}/status", { params }));
    if (state.status !== pending) return state;
  }
  throw new Error(`${id} is still ${pending}`);
}

const once = () => ({ "Idempotency-Key": crypto.randomUUID() });

// The lease sees to a machine that dies before the deletion.
const slug = `ci-${crypto.randomUUID().slice(-12)}`;
const org = done(
  await api.POST("/cp/orgs", {
    params: { header: once() },
    body: { name: "A pipeline", slug, plan: "free", ttl_seconds: 3600 },
  }),
);
const path = { id: org.id };
try {
  const state = await wait(org.id, "provisioning");
  if (state.status !== "ready") throw new Error(`${org.id} is ${state.status}: ${state.failure?.message}`);
  done(await api.POST("/cp/orgs/{id}/workspaces", { params: { path, header: once() }, body: { name: "QA team" } }));
  const workspaces = done(await api.GET("/cp/orgs/{id}/workspaces", { params: { path } }));
  console.log("ready", org.id, state.login_url);
  console.log("workspaces", ...workspaces.data.map((workspace) => workspace.slug));
} finally {
  const { error } = await api.DELETE("/cp/orgs/{id}", { params: { path } });
  if (error) console.error(`${org.id} is not deleted: ${error.detail}`);
}
console.log((await wait(org.id, "deprovisioning")).status);
