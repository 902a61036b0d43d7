//! The workflow for GitHub Actions, run as its runners do.

use std::fs;

use serde_json::Value;

use super::{AUDIENCE, MIDDLES, Middle, Pipeline, Variables, job, text, yaml};

/// What GitHub makes of `${{ … }}`.
fn evaluate(text: &str, contexts: &Variables) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (expression, after) = after.split_once("}}").unwrap();
        let name = expression.trim();
        result.push_str(before);
        result.push_str(
            contexts
                .get(name)
                .unwrap_or_else(|| panic!("{name} is in no context: {contexts:?}")),
        );
        rest = after;
    }
    result + rest
}

fn pairs(value: &Value, contexts: &Variables) -> Variables {
    let members = value.as_object().into_iter().flatten();
    members
        .map(|(name, value)| (name.clone(), evaluate(value.as_str().unwrap(), contexts)))
        .collect()
}

/// Runs one step; what it writes to its output becomes a context.
fn github_step(
    pipeline: &Pipeline,
    step: &Value,
    contexts: &mut Variables,
    env: &Variables,
    middle: Option<Middle>,
) -> bool {
    let output = pipeline.home.write("output", "");
    let mut variables = env.clone();
    variables.extend(pairs(&step["env"], contexts));
    variables.insert("GITHUB_OUTPUT".to_owned(), output.display().to_string());
    // A script is never put together from values.
    let passed = pipeline.run(text(step, "run"), &variables, middle);
    for line in fs::read_to_string(output).unwrap().lines() {
        let (name, value) = line.split_once('=').unwrap();
        contexts.insert(
            format!("steps.{}.outputs.{name}", text(step, "id")),
            value.to_owned(),
        );
    }
    passed
}

/// Runs the composite action within a step of the workflow.
fn github_action(
    pipeline: &Pipeline,
    step: &Value,
    contexts: &mut Variables,
    env: &Variables,
) -> bool {
    let action = yaml("pipelines/github/molecule-org/action.yml");
    let given = pairs(&step["with"], contexts);
    let mut inner = Variables::new();
    for (name, input) in action["inputs"].as_object().unwrap() {
        let default = input["default"].as_str().map(str::to_owned);
        let value = given.get(name).cloned().or(default);
        inner.insert(
            format!("inputs.{name}"),
            value.unwrap_or_else(|| panic!("{name} is missing")),
        );
    }
    assert!(
        given.keys().all(|name| action["inputs"][name].is_object()),
        "{given:?}"
    );
    let steps = action["runs"]["steps"].as_array().unwrap();
    let passed = steps.iter().all(|step| {
        assert_eq!(text(step, "shell"), "bash");
        github_step(pipeline, step, &mut inner, env, None)
    });
    for (name, output) in action["outputs"].as_object().unwrap() {
        let name = format!("steps.{}.outputs.{name}", text(step, "id"));
        contexts.insert(name, evaluate(text(output, "value"), &inner));
    }
    passed
}

#[test]
fn github() {
    let mut pipeline = Pipeline::new();
    pipeline.issuer.gives_tokens_of(job());
    pipeline.variables.remove("MOLCTL_KEY");
    let url = format!("{}/token?api-version=2", pipeline.issuer.url());
    let own = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", &*url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner"),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pipeline.variables.extend(own);
    let workflow = yaml("pipelines/github/workflow.yml");
    assert_eq!(workflow["permissions"]["id-token"], "write");
    let job = &workflow["jobs"]["test"];
    for (run, middle) in MIDDLES.into_iter().enumerate() {
        let mut contexts: Variables = [
            ("github.run_id", &*run.to_string()),
            ("github.run_attempt", "1"),
            ("github.job", "test"),
            ("strategy.job-index", "0"),
            ("vars.MOLCTL_SERVER", &pipeline.variables["MOLCTL_SERVER"]),
            ("vars.MOLCTL_TRUST_RULE", &pipeline.rule),
            ("vars.MOLCTL_AUDIENCE", AUDIENCE),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let env = pairs(&job["env"], &contexts);
        contexts.extend(
            env.iter()
                .map(|(name, value)| (format!("env.{name}"), value.clone())),
        );
        let mut passed = true;
        for step in job["steps"].as_array().unwrap() {
            if !passed && text(step, "if") != "always()" {
                continue;
            }
            passed &= match text(step, "uses") {
                "./.github/actions/molecule-org" => {
                    github_action(&pipeline, step, &mut contexts, &env)
                }
                "" => {
                    let middle = (text(step, "name") == "Use it").then_some(middle);
                    github_step(&pipeline, step, &mut contexts, &env, middle)
                }
                checkout => checkout.starts_with("actions/checkout@"),
            };
        }
        pipeline.check(middle, passed);
    }
}
