//! A server that does nothing but answer, on the same framework, allocator and number of workers as
//! the real one: every call gets the same status, headers and body. It can record each call
//! first, which shows what that alone costs.

mod append;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::Sender,
};

use actix_web::{
    App, Error, HttpResponse, HttpServer,
    error::ErrorInternalServerError,
    http::StatusCode,
    web::{self, Bytes, Data},
};
use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use self::append::Caller;

/// What every call is answered with.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address and port to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// The status of every answer.
    #[arg(long, default_value_t = 200)]
    status: u16,
    /// A file with a header on each line.
    #[arg(long)]
    headers: PathBuf,
    /// A file with the body.
    #[arg(long)]
    body: PathBuf,
    /// Where each call is recorded before it is answered: `file:PATH`, `sqlite:PATH` or the URL of a
    /// PostgreSQL.
    #[arg(long)]
    append: Option<String>,
    /// Answers a call without waiting until it is recorded.
    #[arg(long, requires = "append")]
    ahead: bool,
}

/// The response, and where calls are recorded.
struct CannedResponse {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Bytes,
    append: Option<Sender<Caller>>,
    ahead: bool,
}

/// Serves until it is ended.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let lines = fs::read_to_string(&args.headers).context("the headers can't be read")?;
    let headers = lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let canned = Data::new(CannedResponse {
        status: StatusCode::from_u16(args.status)?,
        headers,
        body: fs::read(&args.body)
            .context("the body can't be read")?
            .into(),
        append: args
            .append
            .as_deref()
            .map(|target| append::start(target, args.ahead))
            .transpose()?,
        ahead: args.ahead,
    });
    let listener = TcpListener::bind(args.listen)?;
    actix_web::rt::System::new().block_on(async move {
        // The number of workers is the framework's choice here and there.
        HttpServer::new(move || {
            App::new()
                .app_data(canned.clone())
                .default_service(web::to(answer))
        })
        .listen(listener)?
        .run()
        .await
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn answer(canned: Data<CannedResponse>) -> Result<HttpResponse, Error> {
    if let Some(append) = &canned.append {
        let (caller, recorded) = oneshot::channel();
        append.send(caller).map_err(ErrorInternalServerError)?;
        if !canned.ahead {
            recorded.await.map_err(ErrorInternalServerError)?;
        }
    }
    let mut response = HttpResponse::build(canned.status);
    for (name, value) in &canned.headers {
        response.append_header((name.as_str(), value.as_str()));
    }
    Ok(response.body(canned.body.clone()))
}
