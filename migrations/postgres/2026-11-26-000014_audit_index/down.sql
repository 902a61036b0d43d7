COMMENT ON TABLE audit_mentions IS NULL;
