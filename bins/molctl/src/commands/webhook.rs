//! `molctl webhook …`.

use clap::Subcommand;
use molecule_client::{DeliveryId, EndpointId, NewWebhookEndpoint, Time, WebhookEndpointChanges};
use serde_json::json;

use super::{Much, admin::time, word};
use crate::{context::Context, failure::Failure, table::Column};

const ENDPOINTS: &[Column] = &[
    ("ID", "/id"),
    ("URL", "/url"),
    ("STATUS", "/status"),
    ("EVENTS", "/events"),
];
const DELIVERIES: &[Column] = &[
    ("ID", "/id"),
    ("TYPE", "/type"),
    ("STATUS", "/status"),
    ("ATTEMPTS", "/attempts"),
    ("LAST", "/last_answer/status_code"),
    ("ERROR", "/last_answer/error"),
    ("CREATED", "/created_at"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum Webhook {
    /// Create an endpoint. Its secret is shown this once.
    Create {
        /// The URL to which messages are sent.
        url: String,
        /// An event of which messages are sent, such as org.ready. It can be repeated.
        #[arg(long, required = true)]
        event: Vec<String>,
    },
    /// List endpoints, newest first.
    List {
        #[command(flatten)]
        much: Much,
    },
    /// Show one endpoint.
    Get {
        /// The id of the endpoint.
        endpoint: EndpointId,
    },
    /// Change an endpoint, pause it or enable it again. What is not named stays as it is.
    Update {
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The URL to which messages are sent from now on.
        #[arg(long)]
        url: Option<String>,
        /// An event of which messages are sent from now on. It can be repeated.
        #[arg(long)]
        event: Vec<String>,
        /// Send messages again, whatever the endpoint was disabled for.
        #[arg(long)]
        enabled: bool,
        /// Send no messages until the endpoint is enabled again.
        #[arg(long, conflicts_with = "enabled")]
        disabled: bool,
    },
    /// Delete an endpoint.
    Delete {
        /// The id of the endpoint.
        endpoint: EndpointId,
    },
    /// Give an endpoint a new secret, shown this once. For a day messages are signed with the old one as well.
    RotateSecret {
        /// The id of the endpoint.
        endpoint: EndpointId,
    },
    /// Send a test message.
    Test {
        /// The id of the endpoint.
        endpoint: EndpointId,
    },
    /// List the deliveries to an endpoint, newest first.
    Deliveries {
        /// The id of the endpoint.
        endpoint: EndpointId,
        #[command(flatten)]
        much: Much,
    },
    /// Send a message again, or all messages that failed since a time, except tests.
    Redeliver {
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The id of the delivery.
        #[arg(required_unless_present = "since", conflicts_with_all = ["since", "until"])]
        delivery: Option<DeliveryId>,
        /// Send the messages again that failed and were created at this time or later, such as
        /// 2026-04-23T08:00:00Z; 1000 at the most.
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: Option<Time>,
        /// Of these, only those created before this time.
        #[arg(long, value_name = "TIME", value_parser = time, requires = "since")]
        until: Option<Time>,
    },
}

impl Webhook {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        const SECRET: &str = "The secret is shown only this once; keep it safe.";
        let client = context.client()?;
        let output = context.output;
        match self {
            Self::Create { url, event } => {
                let events = event.into_iter().map(word).collect();
                let created = client
                    .create_webhook(&NewWebhookEndpoint { url, events })
                    .await?;
                output.note(SECRET);
                output.one(&created)
            }
            Self::List { much } => {
                output
                    .list(ENDPOINTS, client.webhooks(), much.limit())
                    .await
            }
            Self::Get { endpoint } => output.one(&client.webhook(endpoint).await?),
            Self::Update {
                endpoint,
                url,
                event,
                enabled,
                disabled,
            } => {
                let events: Vec<_> = event.into_iter().map(word).collect();
                let changes = WebhookEndpointChanges {
                    url,
                    events: (!events.is_empty()).then_some(events),
                    enabled: (enabled || disabled).then_some(Some(enabled)),
                };
                output.one(&client.change_webhook(endpoint, &changes).await?)
            }
            Self::Delete { endpoint } => {
                client.delete_webhook(endpoint).await?;
                output.note("The endpoint is deleted.");
                Ok(())
            }
            Self::RotateSecret { endpoint } => {
                let rotated = client.rotate_webhook_secret(endpoint).await?;
                output.note(SECRET);
                output.one(&rotated)
            }
            Self::Test { endpoint } => output.one(&client.test_webhook(endpoint).await?),
            Self::Deliveries { endpoint, much } => {
                output
                    .list(
                        DELIVERIES,
                        client.webhook_deliveries(endpoint),
                        much.limit(),
                    )
                    .await
            }
            Self::Redeliver {
                endpoint,
                delivery,
                since,
                until,
            } => match (delivery, since) {
                (Some(delivery), _) => output.one(&client.redeliver(endpoint, delivery).await?),
                (None, Some(since)) => {
                    let count = client.redeliver_failed(endpoint, since, until).await?;
                    output.one(&json!({"count": count}))
                }
                (None, None) => Err(Failure::Usage("Name a delivery, or --since.".to_owned())),
            },
        }
    }
}
