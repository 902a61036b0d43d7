-- Background work is shared by partner: the partners with something pending are found one after the
-- other by these indexes, whatever the number of rows that each of them has.
CREATE INDEX webhook_deliveries_partner_due ON webhook_deliveries (partner_id, due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX orgs_status_partner_due ON orgs (status, partner_id, due_at) WHERE due_at IS NOT NULL;
DROP INDEX orgs_status_due;

-- Endpoints that were deleted cost those that are not nothing.
CREATE INDEX webhook_endpoints_live ON webhook_endpoints (partner_id, id) WHERE deleted_at IS NULL;
DROP INDEX webhook_endpoints_partner;
