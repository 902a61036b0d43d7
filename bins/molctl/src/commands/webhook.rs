//! `molctl webhook …`.

use clap::Subcommand;
use molecule_client::{DeliveryId, EndpointId, NewWebhookEndpoint};

use super::{Much, word};
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
    /// Send a message again.
    Redeliver {
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The id of the delivery.
        delivery: DeliveryId,
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
            Self::Redeliver { endpoint, delivery } => {
                output.one(&client.redeliver(endpoint, delivery).await?)
            }
        }
    }
}
