//! `molecule-cp key`: after a backup was restored, also beside a server.

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::PathBuf,
};

use anyhow::Context as _;
use audit::{Action, Outcome, TargetKind};
use clap::Subcommand;
use ids::{AdminKeyId, EventId, KeyId};
use keys::{Peppers, RevocationReason};
use serde_json::Value;
use service::{Env, ReplayedEnd, ReplayedRevocation};
use storage::SqlDatabase;
use time::OffsetDateTime;

use super::{audit::moment, on_database, prepare::Known, print, system_user};
use crate::{pepper, settings::Settings};

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Revoke again what an exported audit log says was revoked since the backup that is restored, and end the
    /// secrets that were rotated out
    RevokeSince {
        /// The time of the backup (2026-04-23T08:00:00Z) or a date, which begins at midnight UTC
        #[arg(value_parser = moment)]
        since: OffsetDateTime,
        /// What `audit export` has written; without it, standard input
        #[arg(long)]
        log: Option<PathBuf>,
    },
}

pub fn run(settings: &Settings, command: KeyCommand) -> anyhow::Result<()> {
    let KeyCommand::RevokeSince { since, log } = command;
    // All of it is read before anything is changed, so that a broken file changes nothing.
    let revocations = match log {
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path).with_context(|| name.clone())?;
            read(BufReader::new(file), since).context(name)?
        }
        None => read(stdin().lock(), since).context("standard input")?,
    };
    on_database(settings, async |db, env| {
        let known = Known::read(db).await?;
        let peppers = pepper::load(settings, &known, false)?;
        revoke(db, env, &peppers, revocations).await
    })
}

/// A revocation that the log tells of.
#[derive(Debug, PartialEq, Eq)]
enum Revocation {
    Partner(KeyId, EventId, RevocationReason),
    /// The end of the secret of a key that has this prefix.
    Secret(KeyId, String, EventId),
    Admin(AdminKeyId),
}

fn read(log: impl BufRead, since: OffsetDateTime) -> anyhow::Result<Vec<Revocation>> {
    let mut found = Vec::new();
    for (line, number) in log.lines().zip(1..) {
        let line = line?;
        let revocation = event(&line, since)
            .with_context(|| format!("line {number} is no event of an exported audit log"))?;
        found.extend(revocation);
    }
    Ok(found)
}

/// The revocation in one event, if it is one.
fn event(line: &str, since: OffsetDateTime) -> anyhow::Result<Option<Revocation>> {
    let event: Value = serde_json::from_str(line)?;
    let text = |pointer: &str| {
        let found = event.pointer(pointer).and_then(Value::as_str);
        found.with_context(|| format!("{pointer} is missing"))
    };
    let at = api::parse_time(text("/occurred_at")?).map_err(anyhow::Error::msg)?;
    let action = text("/action")?;
    let is_one_of = |actions: &[Action]| actions.iter().any(|known| known.as_str() == action);
    let ended = event
        .pointer("/details/ended_key_prefix")
        .and_then(Value::as_str);
    let rotates = is_one_of(&[
        Action::KeyRotate,
        Action::KeyRotateFinish,
        Action::KeyRotateCancel,
    ]);
    let ended = ended.filter(|_| rotates);
    let revokes = is_one_of(&[Action::KeyRevoke, Action::AdminKeyRevoke]) || ended.is_some();
    if at < since || !revokes || text("/outcome")? != Outcome::Success.as_str() {
        return Ok(None);
    }
    let id = text("/target/id")?;
    if let Some(prefix) = ended {
        return Ok(Some(Revocation::Secret(
            id.parse()?,
            prefix.to_owned(),
            text("/id")?.parse()?,
        )));
    }
    // Events of an older program have none.
    let reason = text("/details/reason").unwrap_or_default();
    let reason = reason.parse().unwrap_or_default();
    Ok(Some(
        if text("/target/type")? == TargetKind::AdminKey.as_str() {
            Revocation::Admin(id.parse()?)
        } else {
            Revocation::Partner(id.parse()?, text("/id")?.parse()?, reason)
        },
    ))
}

async fn revoke(
    db: &SqlDatabase,
    env: &Env,
    peppers: &Peppers,
    revocations: Vec<Revocation>,
) -> anyhow::Result<()> {
    let (mut partner, mut admin, mut before, mut unknown) = (0, 0, 0, 0);
    let (mut secrets, mut without_secret) = (0, Vec::new());
    for revocation in revocations {
        match revocation {
            Revocation::Partner(id, of, reason) => {
                let of = (of, reason);
                let replayed = service::key_revoke_replay(db, env, id, of, system_user());
                match replayed.await? {
                    ReplayedRevocation::Revoked => partner += 1,
                    ReplayedRevocation::AlreadyRevoked => before += 1,
                    ReplayedRevocation::Unknown => unknown += 1,
                }
            }
            Revocation::Secret(id, prefix, of) => {
                let replayed = service::key_secret_end_replay(
                    db,
                    env,
                    peppers,
                    (id, prefix),
                    of,
                    system_user(),
                );
                match replayed.await? {
                    ReplayedEnd::Ended => secrets += 1,
                    ReplayedEnd::EndedLast => {
                        secrets += 1;
                        without_secret.push(id.to_string());
                    }
                    ReplayedEnd::AlreadyEnded => before += 1,
                    ReplayedEnd::Unknown => unknown += 1,
                }
            }
            Revocation::Admin(id) => {
                if service::admin_key_revoke(db, env, id, system_user()).await? {
                    admin += 1;
                } else {
                    before += 1;
                }
            }
        }
    }
    if !without_secret.is_empty() {
        print(&format!(
            "The newer secrets of these keys are not in the backup. Rotate each, and hand the new one out: {}\n",
            without_secret.join(", ")
        ))?;
    }
    print(&format!(
        "revoked {partner} partner keys and {admin} admin keys, ended {secrets} secrets; {before} were revoked already, \
         {unknown} are not in this database\n"
    ))
}

#[cfg(test)]
mod tests {
    use ids::{TypedId as _, Ulid};
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const SINCE: OffsetDateTime = datetime!(2026-04-23 08:00 UTC);

    fn line(at: &str, action: &str, outcome: &str) -> String {
        json!({
            "id": EventId::from_ulid(Ulid(1)),
            "occurred_at": at,
            "action": action,
            "outcome": outcome,
            "target": {"type": "partner_key", "id": KeyId::from_ulid(Ulid(2))},
        })
        .to_string()
    }

    #[track_caller]
    fn check(line: &str, expect: usize) {
        assert_eq!(
            read(line.as_bytes(), SINCE).unwrap().len(),
            expect,
            "{line}"
        );
    }

    #[test]
    fn revocations_that_succeeded_since_the_time_are_read() {
        check("", 0);
        check(
            &line("2026-04-23T08:00:00.000000Z", "key.revoke", "success"),
            1,
        );
        check(
            &line("2026-04-23T07:59:59.999999Z", "key.revoke", "success"),
            0,
        );
        check(&line("2026-04-23T09:00:00Z", "key.revoke", "denied"), 0);
        check(&line("2026-04-23T09:00:00Z", "key.update", "success"), 0);
        let finish = line("2026-04-23T09:00:00Z", "key.rotate_finish", "success");
        check(&finish, 0);
        let ended = r#""details": {"ended_key_prefix": "mol_pk_12345"}, "id""#;
        check(&finish.replacen("\"id\"", ended, 1), 1);
    }

    #[test]
    fn a_revocation_has_the_reason_that_its_event_tells() {
        let event = |details| {
            json!({
                "id": EventId::from_ulid(Ulid(1)),
                "occurred_at": "2026-04-23T09:00:00Z",
                "action": "key.revoke",
                "outcome": "success",
                "target": {"type": "partner_key", "id": KeyId::from_ulid(Ulid(2))},
                "details": details,
            })
            .to_string()
        };
        for (details, expect) in [
            (json!({"reason": "leaked"}), RevocationReason::Leaked),
            (json!({}), RevocationReason::Unspecified),
            (json!({"reason": "new"}), RevocationReason::Unspecified),
        ] {
            let found = read(event(details).as_bytes(), SINCE).unwrap();
            assert!(matches!(found[..], [Revocation::Partner(_, _, reason)] if reason == expect));
        }
    }

    #[test]
    fn a_broken_line_is_named() {
        let whole = line("2026-04-23T09:00:00Z", "key.revoke", "success");
        for broken in [&whole[..whole.len() - 1], "{}", "", "[]"] {
            let error = read(format!("{whole}\n{broken}\n").as_bytes(), SINCE).unwrap_err();
            assert!(error.to_string().starts_with("line 2 "), "{error}");
        }
    }
}
