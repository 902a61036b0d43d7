CREATE INDEX webhook_endpoints_partner ON webhook_endpoints (partner_id, id);
DROP INDEX webhook_endpoints_live;

CREATE INDEX orgs_status_due ON orgs (status, due_at) WHERE due_at IS NOT NULL;
DROP INDEX orgs_status_partner_due;
DROP INDEX webhook_deliveries_partner_due;
