//! `molctl api`: any call, for what has no command.

use std::{
    fs,
    io::{self, Read as _},
};

use clap::Args;
use molecule_client::{Answer, Client, Method, Page};
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    failure::Failure,
    output::{self, Format, Output},
    table::Column,
};

const CALLS: &[Column] = &[
    ("METHOD", "/method"),
    ("PATH", "/path"),
    ("SUMMARY", "/summary"),
];

/// Call any path of the API, and print the answer.
#[derive(Debug, Args)]
pub(crate) struct Api {
    /// The path, such as /cp/orgs.
    #[arg(required_unless_present = "list")]
    path: Option<String>,
    /// The method. Without it: POST if there are fields or a body, else GET.
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// A field of the body, or of the query of a GET or DELETE, as text. It can be repeated.
    #[arg(short = 'f', long, value_name = "KEY=VALUE", value_parser = field)]
    field: Vec<(String, String)>,
    /// A field whose value is JSON, such as ttl_seconds=3600.
    #[arg(short = 'F', long, value_name = "KEY=JSON", value_parser = field)]
    json_field: Vec<(String, String)>,
    /// A file with the body; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["field", "json_field"])]
    input: Option<String>,
    /// Follow a list to its end, and print all of its items.
    #[arg(long)]
    paginate: bool,
    /// List all calls that the server has.
    #[arg(long, conflicts_with_all = ["path", "method", "field", "json_field", "input", "paginate"])]
    list: bool,
}

fn field(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be key=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Api {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let Some(path) = self.path.clone().filter(|_| !self.list) else {
            return list(context, &client).await;
        };
        let fields = self.fields()?;
        let sends = self.input.is_some() || !fields.is_empty();
        let method = match &self.method {
            Some(name) => Method::from_bytes(name.to_ascii_uppercase().as_bytes())
                .map_err(|_| Failure::Usage(format!("{name:?} is not a method.")))?,
            None if sends && !self.paginate => Method::POST,
            None => Method::GET,
        };
        if self.paginate && method != Method::GET {
            return Err(Failure::Usage("--paginate is for GET.".to_owned()));
        }
        let in_query = method == Method::GET || method == Method::DELETE || method == Method::HEAD;
        let mut request = client.request(method, path);
        if let Some(file) = &self.input {
            request = request.json(&body(file)?)?;
        } else if in_query {
            request = request.query(&Value::Object(fields))?;
        } else if sends {
            request = request.json(&Value::Object(fields))?;
        }
        if !self.paginate {
            return print(context.output, &request.send().await?);
        }
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut page = request.clone();
            if let Some(cursor) = &cursor {
                page.add_parameter("cursor", cursor);
            }
            let page: Page<Value> = page.send().await?.json()?;
            items.extend(page.data);
            cursor = page.next_cursor.filter(|_| page.has_more);
            if cursor.is_none() {
                return document(context.output).all(&[], &items);
            }
        }
    }

    fn fields(&self) -> Result<Map<String, Value>, Failure> {
        let mut fields = Map::new();
        let texts = self
            .field
            .iter()
            .map(|(name, value)| Ok((name, json!(value))));
        let parsed = self.json_field.iter().map(|(name, value)| {
            serde_json::from_str(value)
                .map(|value: Value| (name, value))
                .map_err(|error| {
                    Failure::Usage(format!("The value of {name} is not JSON: {error}."))
                })
        });
        for field in texts.chain(parsed) {
            let (name, value) = field?;
            fields
                .entry(name)
                .and_modify(|first| {
                    // What is repeated is a list.
                    if let Value::Array(values) = first {
                        values.push(value.clone());
                    } else {
                        *first = json!([first.take(), value]);
                    }
                })
                .or_insert(value);
        }
        Ok(fields)
    }
}

fn body(file: &str) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = if file == "-" {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::Usage(format!("The body can't be read from {file}: {error}.")))?;
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Failure::Usage(format!("The body in {file} is not JSON: {error}.")))
}

/// An answer of any call is shown as JSON unless another format is asked for.
fn document(output: Output) -> Output {
    if output.0 == Format::Table {
        Output(Format::Json)
    } else {
        output
    }
}

fn print(output: Output, answer: &Answer) -> Result<(), Failure> {
    if answer.body().is_empty() {
        output.note(&format!("Status {}.", answer.status()));
        return Ok(());
    }
    let value: Value = match answer.json() {
        Ok(value) => value,
        // Metrics are text.
        Err(_) if output.0 == Format::Table && answer.content_type().starts_with("text/plain") => {
            return output::text(&String::from_utf8_lossy(answer.body()));
        }
        Err(error) => return Err(error.into()),
    };
    document(output).one(&value)
}

async fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    let api: Value = client
        .request(Method::GET, "/cp/openapi.json")
        .send()
        .await?
        .json()?;
    let mut calls = Vec::new();
    for (path, operations) in members(api.get("paths")) {
        for (method, operation) in members(Some(operations)) {
            calls.push(json!({
                "method": method.to_ascii_uppercase(),
                "path": path,
                "summary": operation.get("summary"),
            }));
        }
    }
    context.output.all(CALLS, &calls)
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}
