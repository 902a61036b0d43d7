//! The pipelines of `examples/` do what they promise: their steps are taken from the files and run, to the end, with a
//! failure and with a cancellation in the middle. Nothing is left then.

mod github;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    issuer::{Issuer, TestKey},
    server::Server,
};

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

/// The audience of the trust rule, as `gitlab-ci.yml` has it.
const AUDIENCE: &str = "https://cp.example.com";

type Variables = BTreeMap<String, String>;

/// What the provider says of each job.
fn job() -> Value {
    json!({"repository_id": "42"})
}

/// A server, a key of a pipeline, and the folder that a job runs in.
struct Pipeline {
    server: Server,
    home: Home,
    variables: Variables,
    /// The provider, and the trust rule for its jobs.
    issuer: Issuer,
    rule: String,
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
        let key = server.key(json!({"scopes": scopes})).unwrap();
        let issuer = Issuer::start();
        let partner = json!({"name": "Acme", "plan": "partner"});
        let partner = server.admin().post("/cp/admin/partners", &partner).unwrap();
        let partner = partner.expect(201).unwrap();
        let rule = json!({
            "name": "ci", "partner_id": partner["id"], "issuer": issuer.url(), "audience": AUDIENCE,
            "claims": job(), "scopes": scopes,
        });
        let rule = server.admin().post("/cp/admin/trust-rules", &rule).unwrap();
        let rule = text(&rule.expect(201).unwrap(), "id").to_owned();
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
            issuer,
            rule,
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

#[test]
fn gitlab() {
    let mut pipeline = Pipeline::new();
    pipeline.variables.remove("MOLCTL_KEY");
    let rule = ("MOLCTL_TRUST_RULE".to_owned(), pipeline.rule.clone());
    pipeline.variables.extend([rule]);
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
        for (name, token) in job["id_tokens"].as_object().unwrap() {
            let token = pipeline
                .issuer
                .token(TestKey::Rsa1, text(token, "aud"), &self::job());
            variables.insert(name.clone(), token);
        }
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
