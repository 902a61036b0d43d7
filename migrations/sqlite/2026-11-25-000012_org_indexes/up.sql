-- Each index of orgs is a page more that a creation writes. One serves to list a partner's orgs, by
-- status or not, and to count them.
CREATE INDEX orgs_partner_id_status ON orgs (partner_id, id, status);

DROP INDEX orgs_partner;
DROP INDEX orgs_partner_status;

-- A slug that is freed is found by its name, which the org's row knows.
DROP INDEX slugs_org;
