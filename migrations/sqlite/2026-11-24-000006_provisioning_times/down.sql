DROP INDEX orgs_plan_ready;
