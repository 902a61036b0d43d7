//! The measurements, a file each.

mod checksum;
mod creations;
mod exchange;
mod growth;
mod in_process;
mod mix;
mod peers;
mod secrets;
mod setup;
mod status;

use anyhow::Result;

use crate::performance::{lab::Lab, report::Outcome};

/// One measurement.
pub(crate) struct Measure {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it measures and how.
    pub(crate) about: &'static str,
    /// Whether it needs `wrk`.
    pub(crate) wrk: bool,
    pub(crate) run: fn(&Lab) -> Result<Outcome>,
}

/// All of them, in the order of the page.
pub(crate) const ALL: &[Measure] = &[
    Measure {
        name: "status",
        about: "`GET /cp/orgs/{id}/status`: authenticated, scoped, limited and recorded before \
            it is answered, on SQLite. The baseline is a bare actix-web server whose one route sends \
            the same bytes and headers.",
        wrk: true,
        run: status::sqlite,
    },
    Measure {
        name: "status-postgres",
        about: "The same on PostgreSQL, with its `fsync` and `synchronous_commit` on.",
        wrk: true,
        run: status::postgres,
    },
    Measure {
        name: "status-relaxed",
        about: "The same on SQLite with `MOLECULE_CP_AUDIT=relaxed`.",
        wrk: true,
        run: status::relaxed,
    },
    Measure {
        name: "secrets",
        about: "`GET /cp/orgs/{id}/secrets` on SQLite: read from the database, opened and recorded before it is \
            answered. The baseline is a status poll of the same orgs by the same keys on the same server.",
        wrk: true,
        run: secrets::sqlite,
    },
    Measure {
        name: "secrets-postgres",
        about: "The same on PostgreSQL.",
        wrk: true,
        run: secrets::postgres,
    },
    Measure {
        name: "bad-checksum",
        about: "Tokens of the right form whose checksum is wrong, answered with 401 without a look \
            into the database. The baseline is the bare server with the same 401.",
        wrk: true,
        run: checksum::run,
    },
    Measure {
        name: "org-create",
        about: "`POST /cp/orgs` by 50 partners over 64 connections on SQLite: each 201 is durable, \
            with its audit event. Meanwhile the reconciler makes the orgs. The baseline is the same \
            server with `MOLECULE_CP_SQLITE_BATCH=1`, where no two changes share a commit.",
        wrk: true,
        run: creations::orgs_sqlite,
    },
    Measure {
        name: "org-create-postgres",
        about: "`POST /cp/orgs` by 50 partners over 64 connections on PostgreSQL. The baseline is \
            `pgbench` with 64 clients on the same server, each of its transactions inserting one \
            row of an org's size under two unique indexes.",
        wrk: true,
        run: creations::orgs_postgres,
    },
    Measure {
        name: "key-create",
        about: "`POST /cp/admin/partner-keys` over 64 connections on SQLite, each 201 durable; each \
            makes a partner as well. The baseline is the same server with `MOLECULE_CP_SQLITE_BATCH=1`.",
        wrk: true,
        run: creations::keys,
    },
    Measure {
        name: "exchange",
        about: "`POST /cp/token` over 64 connections on SQLite, each token once: verified by cached keys of the issuer, \
            RS256 and ES256, and durable with the key and its audit event. The baseline is a status poll on the same \
            server.",
        wrk: true,
        run: exchange::sqlite,
    },
    Measure {
        name: "peers",
        about: "better-auth 1.7.5 with its API key plugin behind express, two processes, and our \
            status route, both on the same throwaway PostgreSQL, 64 connections. Each also stands \
            beside a bare route of its own framework. Ours authenticates, limits, reads an org and \
            writes an audit event; theirs verifies the key and notes its use.",
        wrk: true,
        run: peers::run,
    },
    Measure {
        name: "talos-mix",
        about: "A mix of calls on SQLite over 64 connections: 90 % verify a partner key (`GET \
            /cp/whoami`), 5 % issue one, 4 % list 20 keys, 1 % revoke one. The goal is the total that \
            Ory has published for Talos, 16 766 requests/s, of which 3 797 verifications/s, on a \
            machine and with a mix of their own: so this compares with a published figure, not with \
            a run beside ours. The baseline is the bare server under the same script.",
        wrk: true,
        run: mix::run,
    },
    Measure {
        name: "in-process",
        about: "`Service::admit` for a key that is remembered, and `MemoryLimiter::check` on all \
            cores, called in a loop without a network.",
        wrk: false,
        run: in_process::run,
    },
    Measure {
        name: "growth",
        about: "Databases (SQLite) of rising size, filled in bulk and served side by side: latency \
            of a call by a key at random among all (so most are not remembered yet), of creations, \
            lists and audit queries, over 4 connections. The baseline is the smallest database.",
        wrk: true,
        run: growth::sqlite,
    },
    Measure {
        name: "growth-postgres",
        about: "The same on PostgreSQL, with the smallest and the largest size.",
        wrk: true,
        run: growth::postgres,
    },
];
