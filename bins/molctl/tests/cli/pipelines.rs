//! The pipelines of `examples/` do what they promise: their steps are taken from the files and run, to the end, with a
//! failure and with a cancellation in the middle. Nothing is left then.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::server::Server;

use crate::{flow::start, kit::Home};

/// How the step in the middle goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Middle {
    Passes,
    Fails,
    Cancelled,
}

const MIDDLES: [Middle; 3] = [Middle::Passes, Middle::Fails, Middle::Cancelled];

/// The file that says that the step in the middle has begun.
const BEGUN: &str = "begun";

/// What the steps print.
const LOG: &str = "job.log";

type Variables = BTreeMap<String, String>;

/// A server, a key of a pipeline, and the folder that a job runs in.
struct Pipeline {
    server: Server,
    home: Home,
    variables: Variables,
}

impl Pipeline {
    fn new() -> Self {
        let home = Home::new();
        let server = start(&home, None);
        let scopes = [
            "orgs:create",
            "orgs:list",
            "orgs:delete",
            "workspaces:create",
        ];
        let key = server.key(serde_json::json!({"scopes": scopes})).unwrap();
        let own = Path::new(env!("CARGO_BIN_EXE_molctl"))
            .parent()
            .unwrap()
            .display()
            .to_string();
        let path = format!("{own}:{}", std::env::var("PATH").unwrap());
        let variables = [
            ("PATH", path),
            ("HOME", home.path().display().to_string()),
            ("NO_PROXY", "*".to_owned()),
            ("MOLCTL_SERVER", server.url()),
            ("MOLCTL_KEY", key.secret),
        ];
        Self {
            server,
            home,
            variables: variables
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        }
    }

    /// Runs a script as the runners do; one that is to be cancelled is, once it has begun.
    fn run(&self, script: &str, more: &Variables, middle: Option<Middle>) -> bool {
        let addition = match middle {
            None | Some(Middle::Passes) => "",
            Some(Middle::Fails) => "\nexit 7\n",
            Some(Middle::Cancelled) => "\ntouch begun\nexec sleep 60\n",
        };
        let file = self.home.write("step.sh", &format!("{script}{addition}"));
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-eo", "pipefail"])
            .arg(file)
            .env_clear()
            .envs(&self.variables)
            .envs(more)
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        self.wait(command, middle)
    }

    fn wait(&self, mut command: Command, middle: Option<Middle>) -> bool {
        let begun = self.home.path().join(BEGUN);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.path().join(LOG))
            .unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        if middle == Some(Middle::Cancelled) {
            let start = Instant::now();
            while !begun.exists() {
                assert!(
                    start.elapsed() < Duration::from_secs(60)
                        && child.try_wait().unwrap().is_none()
                );
                sleep(Duration::from_millis(20));
            }
            fs::remove_file(begun).unwrap();
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-TERM", &id])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        child.wait().unwrap().success()
    }

    /// The orgs that there are.
    fn orgs(&self) -> Vec<Value> {
        let orgs = self
            .server
            .admin()
            .get("/cp/admin/orgs")
            .unwrap()
            .expect(200)
            .unwrap();
        orgs["data"].as_array().unwrap().clone()
    }

    /// Checks what is left of a job.
    #[track_caller]
    fn check(&self, middle: Middle, passed: bool) {
        let log = fs::read_to_string(self.home.path().join(LOG)).unwrap();
        assert_eq!(passed, middle == Middle::Passes, "{middle:?}\n{log}");
        let left = self.orgs();
        assert!(left.is_empty(), "{middle:?}: {left:?}");
        // Each did create an org, with a lease.
        let gone = self
            .server
            .admin()
            .get("/cp/admin/orgs?status=deleted")
            .unwrap()
            .expect(200)
            .unwrap();
        let newest = &gone["data"][0];
        assert!(newest["expires_at"].is_string(), "{middle:?}: {newest}");
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(example(name)).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

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
    let pipeline = Pipeline::new();
    let workflow = yaml("pipelines/github/workflow.yml");
    let job = &workflow["jobs"]["test"];
    for (run, middle) in MIDDLES.into_iter().enumerate() {
        let mut contexts: Variables = [
            ("github.run_id", &*run.to_string()),
            ("github.run_attempt", "1"),
            ("github.job", "test"),
            ("strategy.job-index", "0"),
            ("vars.MOLCTL_SERVER", &pipeline.variables["MOLCTL_SERVER"]),
            ("secrets.MOLCTL_KEY", &pipeline.variables["MOLCTL_KEY"]),
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

#[test]
fn gitlab() {
    let pipeline = Pipeline::new();
    let job = &yaml("pipelines/gitlab/gitlab-ci.yml")["test"];
    let lines = |name: &str| -> String {
        job[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| format!("{}\n", line.as_str().unwrap()))
            .collect()
    };
    for (id, middle) in MIDDLES.into_iter().enumerate() {
        let id = (1000 + id).to_string();
        let mut variables = Variables::from([("CI_JOB_ID".to_owned(), id.clone())]);
        for (name, value) in job["variables"].as_object().unwrap() {
            if name != "MOLCTL_SERVER" {
                variables.insert(
                    name.clone(),
                    value.as_str().unwrap().replace("$CI_JOB_ID", &id),
                );
            }
        }
        // One shell runs both; another one runs what comes after.
        let passed = pipeline.run(
            &(lines("before_script") + &lines("script")),
            &variables,
            Some(middle),
        );
        assert!(pipeline.run(&lines("after_script"), &variables, None));
        pipeline.check(middle, passed);
    }
}

#[test]
fn curl_and_jq_alone() {
    let pipeline = Pipeline::new();
    for (run, middle) in MIDDLES.into_iter().enumerate() {
        let command = match middle {
            Middle::Passes => "test -n \"$ORG_ID\" && test -n \"$LOGIN_URL\"",
            Middle::Fails => "exit 7",
            Middle::Cancelled => "touch begun; exec sleep 60",
        };
        let mut script = Command::new(example("curl/flow.sh"));
        script
            .args(["bash", "-c", command])
            .env_clear()
            .envs(&pipeline.variables)
            .env("RUN_ID", format!("run:{run}"))
            .current_dir(pipeline.home.path())
            .stdin(Stdio::null());
        let passed = pipeline.wait(script, Some(middle));
        let begun = Instant::now();
        // The script does not wait for the end of the deletion.
        while !pipeline.orgs().is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{:?}",
                pipeline.orgs()
            );
            sleep(Duration::from_millis(20));
        }
        pipeline.check(middle, passed);
    }
}
