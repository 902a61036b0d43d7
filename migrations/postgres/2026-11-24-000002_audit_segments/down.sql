DROP TABLE audit_mentions;
DROP TABLE audit_segments;
