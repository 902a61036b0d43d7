//! The server: a thread that accepts connections, and workers with the framework on their connections.
//!
//! The framework's own server closes connections that it has accepted and not yet served when it stops, and
//! takes one to three seconds to end. This one serves each connection that a client could make.

use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    num::NonZeroUsize,
    os::unix::net::UnixStream,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use actix_http::{HttpService, KeepAlive, error::DispatchError};
use actix_service::{
    IntoServiceFactory as _, Service as _, ServiceFactory, ServiceFactoryExt as _, map_config,
};
use actix_web::{App as ActixApp, Error, dev::AppConfig};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    task::{JoinSet, LocalSet},
};

use super::{
    App,
    connection::Connection,
    listener::{Listener, Wait},
};
use crate::{handlers::reference::Published, routes};

/// Threads of one server that block, such as for the database.
const BLOCKING_THREADS: usize = 512;
/// After a failure to accept a connection, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// For connections whose client has the system's consent already, and whose first packet is on its way.
const HALF_OPEN_TIMEOUT: Duration = Duration::from_millis(200);

type Accepted = (TcpStream, SocketAddr);
type Worker = mpsc::UnboundedSender<Accepted>;

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The acceptor stops when this is closed.
    stop: Option<UnixStream>,
    /// Whether it then gives time to clients that have begun to connect.
    gently: Arc<AtomicBool>,
    /// Ends when the socket is closed, and all that came by it is with a worker.
    acceptor: oneshot::Receiver<()>,
    /// Each ends when its worker has no connection left.
    workers: Vec<oneshot::Receiver<()>>,
}

impl Server {
    /// Starts to accept connections, and to serve them on a thread for each processor.
    ///
    /// # Errors
    /// When the system refuses a thread, or the routes can't be made.
    pub fn start(
        app: &Arc<App>,
        published: &Arc<Published>,
        listener: Listener,
    ) -> anyhow::Result<Self> {
        // Each worker has a router of its own.
        routes::router(published)?;
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let blocking_threads = BLOCKING_THREADS.div_ceil(count);
        let (mut queues, mut workers) = (Vec::new(), Vec::new());
        for n in 0..count {
            let (queue, connections) = mpsc::unbounded_channel();
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(blocking_threads)
                .build()?;
            let (app, published) = (Arc::clone(app), Arc::clone(published));
            workers.push(spawn(&format!("http-{n}"), runtime, async move || {
                work(app, published, connections).await;
            })?);
            queues.push(queue);
        }
        let (stop, stopped) = UnixStream::pair()?;
        let gently = Arc::new(AtomicBool::new(false));
        let (done, acceptor) = oneshot::channel();
        let accepting = Accepting {
            listener,
            workers: queues,
            stop: stopped,
            gently: Arc::clone(&gently),
        };
        thread::Builder::new()
            .name("http-accept".to_owned())
            .spawn(move || {
                accepting.run();
                let _ = done.send(());
            })?;
        Ok(Self {
            stop: Some(stop),
            gently,
            acceptor,
            workers,
        })
    }

    /// Listens no more. Connections that have come by the socket are served. With `gently` that holds for
    /// those that are about to come as well, which takes a fifth of a second. Where another process keeps the
    /// socket open, connections that are not accepted yet wait for the next server.
    pub async fn stop_listening(&mut self, gently: bool) {
        self.gently.store(gently, Ordering::Release);
        self.stop = None;
        // An error means that it has ended.
        let _ = (&mut self.acceptor).await;
    }

    /// Waits until no connection is left.
    pub async fn ended(self) {
        for worker in self.workers {
            // An error means that it has ended.
            let _ = worker.await;
        }
    }
}

/// Runs work on a thread of its own; the receiver gets an answer, or an error, when it has ended.
fn spawn<F: Future<Output = ()>>(
    name: &str,
    runtime: Runtime,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            LocalSet::new().block_on(&runtime, work());
            let _ = done.send(());
            // Without waiting for threads that wait for a silent database.
            runtime.shutdown_background();
        })?;
    Ok(ended)
}

/// The thread that accepts connections, and hands them to the workers in turn.
struct Accepting {
    listener: Listener,
    workers: Vec<Worker>,
    stop: UnixStream,
    gently: Arc<AtomicBool>,
}

impl Accepting {
    /// Until it is to stop. Then the socket is closed, and the workers are told by the end of their queues.
    fn run(&self) {
        let mut workers = self.workers.iter().cycle();
        loop {
            match self.listener.wait(Some(&self.stop), None) {
                Ok(Wait::Stopped) => break,
                Ok(_) => {
                    if let Err(error) = self.accept_waiting(&mut workers) {
                        tracing::error!("accepting a connection failed, will retry: {error}");
                        thread::sleep(ACCEPT_PAUSE);
                    }
                }
                Err(error) => {
                    tracing::error!("waiting for connections failed, will retry: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
        // Where another process keeps the socket, its next server takes what waits.
        if !self.listener.is_inherited()
            && let Err(error) = self.accept_last(&mut workers)
        {
            tracing::error!("accepting the last connections failed, they are reset: {error}");
        }
    }

    fn accept_last<'a>(&self, workers: &mut impl Iterator<Item = &'a Worker>) -> io::Result<()> {
        if self.gently.load(Ordering::Acquire) {
            self.listener.refuse_new()?;
            let deadline = Instant::now() + HALF_OPEN_TIMEOUT;
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                if self.listener.wait(None, Some(left))? == Wait::Waiting {
                    self.accept_waiting(workers)?;
                }
            }
        }
        self.accept_waiting(workers)
    }

    fn accept_waiting<'a>(&self, workers: &mut impl Iterator<Item = &'a Worker>) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok(Some(accepted)) => {
                    if let Some(worker) = workers.next() {
                        // It ends after this thread.
                        let _ = worker.send(accepted);
                    }
                }
                Ok(None) => return Ok(()),
                // Its client has gone away meanwhile.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Serves connections until no more can come and the last one is closed.
async fn work(
    app: Arc<App>,
    published: Arc<Published>,
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
) {
    let Ok(service) = http(&app, &published).new_service(()).await else {
        tracing::error!("starting a worker failed");
        return;
    };
    let service = Rc::new(service);
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            Some((tcp, peer)) = accepted.recv() => {
                let connection = tokio::net::TcpStream::from_std(tcp)
                    .map(|tcp| Connection::new(tcp, peer, &app));
                match connection {
                    Ok(Some(connection)) => {
                        let service = Rc::clone(&service);
                        running.spawn_local(async move {
                            poll_fn(|cx| service.poll_ready(cx)).await?;
                            service.call((connection, Some(peer))).await
                        });
                    }
                    // There are too many, which is told elsewhere.
                    Ok(None) => {}
                    Err(error) => tracing::warn!("a connection can't be used: {error}"),
                }
            }
            // What goes wrong on a connection is its client's, and is told by the connection.
            Some(_) = running.join_next() => {}
            else => return,
        }
    }
}

/// The framework, for the connections of one worker.
fn http(
    app: &Arc<App>,
    published: &Arc<Published>,
) -> impl ServiceFactory<
    (Connection, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
> + use<> {
    let handlers = ActixApp::new()
        .configure(|config| {
            // `Server::start` has checked that it can be made.
            match routes::router(published) {
                Ok(router) => router.serve(Arc::clone(app), config),
                Err(error) => tracing::error!("making the routes of a worker failed: {error}"),
            }
        })
        .into_factory()
        .map_err(|error: Error| error.error_response());
    HttpService::build()
        // `Connection` has timers of its own, and ends only when its calls are answered.
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(Duration::ZERO)
        .h1_allow_half_closed(true)
        .on_connect_ext(|connection: &Connection, data| {
            data.insert(Rc::clone(connection.exchange()));
        })
        .h1(map_config(handlers, |()| AppConfig::default()))
}
