//! The statements that a database runs, and the plans that the engines make for them.

use std::sync::{Arc, Mutex};

use diesel::{
    QueryableByName, RunQueryDsl as _, SqliteConnection,
    connection::{Instrumentation, InstrumentationEvent},
    sql_types::Text,
};
use testkit::postgres::Server;

/// The statements that connections have run since they were last taken. What connections run is noted for the
/// whole process, so a test program has one test that uses this.
#[derive(Clone, Default)]
pub struct Statements(Arc<Mutex<Vec<String>>>);

impl Instrumentation for Statements {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let statement = text.split("-- binds").next().unwrap_or_default();
            self.0.lock().unwrap().push(statement.trim().to_owned());
        }
    }
}

static STATEMENTS: Mutex<Option<Statements>> = Mutex::new(None);

fn instrumentation() -> Option<Box<dyn Instrumentation>> {
    let statements = STATEMENTS.lock().unwrap().clone()?;
    Some(Box::new(statements))
}

impl Statements {
    /// Notes what connections run that are made from now on.
    pub fn record() -> Self {
        diesel::connection::set_default_instrumentation(instrumentation).unwrap();
        let statements = Self::default();
        *STATEMENTS.lock().unwrap() = Some(statements.clone());
        statements
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// SQLite's plan for a statement.
pub fn on_sqlite(sqlite: &mut SqliteConnection, statement: &str) -> String {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        detail: String,
    }
    let question = diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"));
    let plan: Vec<Line> = question.load(sqlite).unwrap();
    let plan: Vec<_> = plan.into_iter().map(|line| line.detail).collect();
    plan.join("\n")
}

/// PostgreSQL's plan for a statement with any values, made in a session with these settings.
pub fn on_postgres(server: &Server, database: &str, settings: &str, statement: &str) -> String {
    let values = (1..).take_while(|n| statement.contains(&format!("${n}")));
    let values: Vec<_> = values.map(|_| "NULL").collect();
    let values = match values.as_slice() {
        [] => String::new(),
        all => format!("({})", all.join(", ")),
    };
    server.ask(
        database,
        &format!(
            "{settings} PREPARE question AS {statement}; SET plan_cache_mode = force_generic_plan; \
             EXPLAIN EXECUTE question{values}"
        ),
    )
}
