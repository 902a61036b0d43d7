-- Orgs whose lease ends, all of them and by partner. Those on their way out are left out, so that they
-- are not passed over again and again.
CREATE INDEX orgs_staying_expires ON orgs (expires_at, id)
    WHERE expires_at IS NOT NULL AND status <> 'deprovisioning' AND status <> 'deleted';
CREATE INDEX orgs_staying_partner_expires ON orgs (partner_id, expires_at, id)
    WHERE expires_at IS NOT NULL AND status <> 'deprovisioning' AND status <> 'deleted';
DROP INDEX orgs_live_expires;

-- The end that is still to be announced. It is later than the end itself where an earlier one was
-- announced shortly before, and null once the end has been announced.
ALTER TABLE orgs ADD COLUMN end_to_announce BIGINT;
ALTER TABLE partner_keys ADD COLUMN end_to_announce BIGINT;
UPDATE orgs SET end_to_announce = expires_at
WHERE expires_at IS NOT NULL AND status <> 'deprovisioning' AND status <> 'deleted'
    AND NOT EXISTS (SELECT 1 FROM webhook_announcements
                    WHERE subject = orgs.id AND ends_at >= orgs.expires_at);
UPDATE partner_keys SET end_to_announce = expires_at
WHERE expires_at IS NOT NULL AND revoked_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM webhook_announcements
                    WHERE subject = partner_keys.id AND ends_at >= partner_keys.expires_at);
CREATE INDEX orgs_end_to_announce ON orgs (end_to_announce, id)
    WHERE end_to_announce IS NOT NULL AND status <> 'deprovisioning' AND status <> 'deleted';
CREATE INDEX partner_keys_end_to_announce ON partner_keys (end_to_announce, id)
    WHERE end_to_announce IS NOT NULL AND revoked_at IS NULL;
DROP INDEX partner_keys_expires_at;

-- A deleted endpoint is looked at twice: at once, to delete its deliveries, and when it is deleted
-- itself. The column orders both: it is zero first, and then the time of the deletion.
ALTER TABLE webhook_endpoints ADD COLUMN forget_after BIGINT;
UPDATE webhook_endpoints SET forget_after = 0 WHERE deleted_at IS NOT NULL;
CREATE INDEX webhook_endpoints_forget_after ON webhook_endpoints (forget_after)
    WHERE forget_after IS NOT NULL;
DROP INDEX webhook_endpoints_deleted;
