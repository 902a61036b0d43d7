DROP TABLE key_changes;
DROP TABLE key_revision;
