CREATE INDEX slugs_org ON slugs (org_id);
CREATE INDEX orgs_partner_status ON orgs (partner_id, status);
CREATE INDEX orgs_partner ON orgs (partner_id, id);

DROP INDEX orgs_partner_id_status;
