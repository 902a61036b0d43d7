DROP TABLE leak_notices;
DROP TABLE leak_reports;
ALTER TABLE partner_keys DROP COLUMN on_leak;
