CREATE INDEX orgs_plan_ready ON orgs (plan, ready_at) WHERE ready_at IS NOT NULL;
