//! `molctl admin key …`.

use clap::{Args, Subcommand, ValueEnum};
use molecule_client::{
    KeyFilters, KeyId, NewPartnerKey, NewRateLimit, OrgId, PartnerId, PartnerKeyChanges, Time,
};

use super::{
    super::{KEYS, Much, changed, key, label, label_changes, word},
    rate_limit,
};
use crate::{context::Context, durations::Span, failure::Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Create a partner key. Its secret is shown this once.
    Create(Box<Create>),
    /// List partner keys, newest first.
    List {
        /// Only keys of this partner.
        #[arg(long)]
        partner: Option<PartnerId>,
        /// Only keys with this status: active, disabled, expired or revoked.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        times: key::Times,
        #[command(flatten)]
        much: Much,
    },
    /// Show one key.
    Get {
        /// The id of the key.
        key: KeyId,
    },
    /// Change a key. What is not named stays as it is.
    Update(Box<Update>),
    /// Give a key another secret, which is shown this once. The one before works on for a while.
    Rotate {
        /// The id of the key.
        key: KeyId,
        #[command(flatten)]
        overlap: key::Overlap,
    },
    /// End the older secret of a key that is being rotated.
    FinishRotation {
        /// The id of the key.
        key: KeyId,
    },
    /// End the newer secret of a key that is being rotated; the one before works on.
    CancelRotation {
        /// The id of the key.
        key: KeyId,
    },
    /// Revoke a key. It can't be undone.
    Revoke {
        /// The id of the key.
        key: KeyId,
        #[command(flatten)]
        why: key::Why,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// A name that says what the key is for.
    name: String,
    /// What the key may do, such as orgs:create. It can be repeated.
    #[arg(long, required = true)]
    scope: Vec<String>,
    /// The only org that the key has access to.
    #[arg(long)]
    org: Option<OrgId>,
    /// The partner that the key belongs to. Without it and --org, the key gets a partner of its own.
    #[arg(long)]
    partner: Option<PartnerId>,
    /// The days from now after which the key expires.
    #[arg(long, value_name = "DAYS", conflicts_with = "expires_at")]
    expires_in_days: Option<u64>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The id of the key.
    key: KeyId,
    /// The new name.
    #[arg(long)]
    name: Option<String>,
    /// What the key may do from now on. It can be repeated.
    #[arg(long)]
    scope: Vec<String>,
    /// Refuse the key until it is enabled again.
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Take the key again.
    #[arg(long)]
    enable: bool,
    #[command(flatten)]
    fields: Fields,
    /// What to put back to its default. It can be repeated.
    #[arg(long, value_name = "FIELD")]
    clear: Vec<Clear>,
    /// A label to remove. It can be repeated.
    #[arg(long, value_name = "KEY")]
    remove_label: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Fields {
    /// The time from which the key is refused.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    expires_at: Option<Time>,
    /// A plan whose orgs the key may create, change and delete. It can be repeated.
    #[arg(long, value_name = "PLAN")]
    org_plan: Vec<String>,
    /// The limit of the key, as limit/seconds.
    #[arg(long, value_parser = rate_limit)]
    rate_limit: Option<NewRateLimit>,
    /// A network from which the key may be used. It can be repeated.
    #[arg(long, value_name = "CIDR")]
    allowed_cidr: Vec<String>,
    /// The most orgs created with the key that may exist at the same time.
    #[arg(long, value_name = "N")]
    max_live_orgs: Option<u64>,
    /// The longest lease of orgs created with the key, 60s to 30d. Every one of them gets a lease.
    #[arg(long, value_name = "TIME")]
    max_ttl: Option<Span>,
    /// Whether revoking the key keeps the orgs created with it, or deletes them: keep or delete.
    #[arg(long, value_name = "WHAT")]
    on_revoke: Option<String>,
    /// Whether the key is revoked when its secret is reported as leaked, or its partner is only told: revoke or notify.
    #[arg(long, value_name = "WHAT")]
    on_leak: Option<String>,
    /// A label, as key:value. It can be repeated.
    #[arg(long, value_parser = label, value_name = "KEY:VALUE")]
    label: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clear {
    ExpiresAt,
    OrgPlans,
    RateLimit,
    AllowedCidrs,
    MaxLiveOrgs,
    MaxTtl,
    OnRevoke,
    OnLeak,
    Labels,
}

/// A list, if it names anything.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (admin, output) = (client.admin(), context.output);
        match self {
            Self::Create(create) => {
                let created = admin.create_key(&create.build()).await?;
                output.note("The key is shown only this once; keep it safe.");
                output.one(&created)
            }
            Self::List {
                partner,
                status,
                times,
                much,
            } => {
                let filters = KeyFilters {
                    partner_id: partner,
                    ..key::filters(status, &times)
                };
                output.list(KEYS, admin.keys(&filters), much.limit()).await
            }
            Self::Get { key } => output.one(&client.key(key).await?),
            Self::Update(update) => {
                output.one(&admin.change_key(update.key, &update.build()).await?)
            }
            Self::Rotate { key, overlap } => {
                let issued = client.rotate_key(key, &overlap.rotation()).await?;
                output.note("The key is shown only this once; keep it safe.");
                output.one(&issued)
            }
            Self::FinishRotation { key } => output.one(&client.finish_key_rotation(key).await?),
            Self::CancelRotation { key } => output.one(&client.cancel_key_rotation(key).await?),
            Self::Revoke { key, why } => {
                client.revoke_key_as(key, &why.revocation()).await?;
                output.note(&format!("The key {key} is revoked."));
                Ok(())
            }
        }
    }
}

impl Create {
    fn build(self) -> NewPartnerKey {
        let fields = self.fields;
        NewPartnerKey {
            name: self.name,
            scopes: self.scope.into_iter().map(word).collect(),
            org_id: self.org,
            partner_id: self.partner,
            org_plans: some(fields.org_plan),
            allowed_cidrs: some(fields.allowed_cidr),
            rate_limit: fields.rate_limit,
            expires_at: fields.expires_at,
            expires_in_days: self.expires_in_days,
            labels: (!fields.label.is_empty()).then(|| fields.label.into_iter().collect()),
            max_live_orgs: fields.max_live_orgs,
            max_ttl_seconds: fields.max_ttl.map(Span::seconds),
            on_revoke: fields.on_revoke.map(word),
            on_leak: fields.on_leak.map(word),
        }
    }
}

impl Update {
    fn build(&self) -> PartnerKeyChanges {
        let (clear, fields) = (&*self.clear, &self.fields);
        let disabled = (self.disable || self.enable).then_some(Some(self.disable));
        let labels = label_changes(fields.label.clone(), self.remove_label.clone());
        PartnerKeyChanges {
            name: self.name.clone(),
            scopes: some(self.scope.iter().cloned().map(word).collect()),
            org_plans: changed(clear, Clear::OrgPlans, some(fields.org_plan.clone())),
            allowed_cidrs: changed(
                clear,
                Clear::AllowedCidrs,
                some(fields.allowed_cidr.clone()),
            ),
            rate_limit: changed(clear, Clear::RateLimit, fields.rate_limit.clone()),
            expires_at: changed(clear, Clear::ExpiresAt, fields.expires_at),
            max_live_orgs: changed(clear, Clear::MaxLiveOrgs, fields.max_live_orgs),
            max_ttl_seconds: changed(clear, Clear::MaxTtl, fields.max_ttl.map(Span::seconds)),
            on_revoke: changed(clear, Clear::OnRevoke, fields.on_revoke.clone().map(word)),
            on_leak: changed(clear, Clear::OnLeak, fields.on_leak.clone().map(word)),
            disabled,
            labels: changed(clear, Clear::Labels, labels),
        }
    }
}
