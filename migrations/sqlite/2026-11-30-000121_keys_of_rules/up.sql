-- From when on a key that a trust rule has made may be deleted. None for all others, and for one
-- that has made an org: the org names it.
ALTER TABLE partner_keys ADD COLUMN prune_after BIGINT;

CREATE INDEX partner_keys_prune_after ON partner_keys (prune_after) WHERE prune_after IS NOT NULL;
CREATE INDEX partner_keys_of_rule ON partner_keys (created_by, expires_at)
    WHERE prune_after IS NOT NULL AND revoked_at IS NULL;

-- Deleting a key asks whether an org names it.
CREATE INDEX orgs_creator ON orgs (created_by_key_id);
-- What counts a key's live orgs reads this alone, and leaves the index above, which has deleted ones, aside.
DROP INDEX orgs_live_maker;
CREATE INDEX orgs_live_maker ON orgs (created_by_key_id, partner_id, id, status)
    WHERE status <> 'deleted';
