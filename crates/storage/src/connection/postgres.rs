//! Diesel's connection to PostgreSQL, over tokio-postgres and rustls.
//!
//! Diesel's own needs libpq and, for TLS, OpenSSL: minutes of C in every build. `diesel-async` has one over
//! tokio-postgres, but it does not pass on SQLSTATEs, it can't be used by a thread that belongs to an async
//! runtime, and each row of an answer costs a turn of a runtime.

use std::{
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    connection::{
        AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation,
        InstrumentationEvent, LoadConnection, MultiConnectionHelper, SimpleConnection,
        TransactionManager, get_default_instrumentation,
        statement_cache::{PrepareForCache, StatementCache},
    },
    debug_query,
    expression::QueryMetadata,
    migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection},
    pg::{
        GetPgMetadataCache, Pg, PgMetadataCache, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata,
    },
    query_builder::{
        Query, QueryBuilder as _, QueryFragment, QueryId, bind_collector::RawBytesBindCollector,
    },
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::TypeMetadata,
};
use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, Error, Row, RowStream, Statement, types::Type};

use self::{
    dial::{Dialed, Driver, dial},
    row::{Encoded, PgRow},
    socket::SocketLoop,
};

mod dial;
mod failure;
mod parameters;
mod row;
mod server;
mod settings;
mod socket;
mod tls;

pub(crate) use settings::lacks_sslmode;

/// How long a statement may take before its server is taken for dead, whatever the system says of the
/// connection. The server's own limits are shorter.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(40);

/// A connection to a PostgreSQL server.
pub struct PgConnection {
    server: Server,
    statements: StatementCache<Pg, Statement>,
    types: PgMetadataCache,
    transaction: AnsiTransactionManager,
    /// What each transaction sets, where the next one may have another session.
    each_transaction: Option<String>,
    instrumentation: Option<Box<dyn Instrumentation>>,
}

/// What an answer has: rows, and how many the statement has met.
type Answer = (Vec<Row>, Option<u64>);

/// The other end of the connection.
struct Server {
    /// None once it is closed.
    client: Option<Client>,
    driver: Driver,
    socket: SocketLoop,
    timeout: Option<Duration>,
}

impl Server {
    /// Sends a request and waits for the answer.
    fn run<T>(&mut self, request: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> QueryResult<T> {
        let Some(client) = &self.client else {
            return Err(failure::closed("the connection is closed".to_owned()));
        };
        let mut request = pin!(request(client));
        let driver = &mut self.driver;
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let result = self.socket.block_on(deadline, |context| {
            // The request first, so that the driver has something to send; then the answer, which the
            // driver may have received.
            if let Poll::Ready(result) = request.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            match driver.as_mut().poll(context) {
                // What the server says as it closes a connection comes before what follows from that.
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => request.as_mut().poll(context),
            }
        });
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure::diesel_error(&error)),
            Err(error) => Err(failure::closed(format!("waiting for the server: {error}"))),
        }
    }

    fn prepare(&mut self, sql: &str, types: &[Type]) -> QueryResult<Statement> {
        self.run(async |client| client.prepare_typed(sql, types).await)
    }

    fn query_prepared(
        &mut self,
        statement: &Statement,
        values: Vec<Encoded>,
    ) -> QueryResult<Answer> {
        self.run(async |client| collect(client.query_raw(statement, values).await?).await)
    }

    /// Without a statement that stays prepared, in one way to the server and back.
    fn query_once(&mut self, sql: &str, values: Vec<(Encoded, Type)>) -> QueryResult<Answer> {
        self.run(async |client| collect(client.query_typed_raw(sql, values).await?).await)
    }
}

async fn collect(answer: RowStream) -> Result<Answer, Error> {
    let mut answer = pin!(answer);
    let mut rows = Vec::new();
    while let Some(row) = answer.try_next().await? {
        rows.push(row);
    }
    Ok((rows, answer.rows_affected()))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without its client the driver takes leave of the server.
        self.client = None;
        let driver = &mut self.driver;
        self.socket
            .poll_once(|context| driver.as_mut().poll(context));
    }
}

impl PgConnection {
    /// Lets statements take as long as the server lets them.
    pub(crate) const fn wait_without_end(&mut self) {
        self.server.timeout = None;
    }

    /// For a pooler that gives each transaction another session: each sets this at its beginning, and no
    /// statement stays prepared.
    pub(super) fn through_pooler(self, each_transaction: String) -> Self {
        Self {
            each_transaction: Some(each_transaction),
            ..self
        }
    }

    /// Whether each transaction may have another session.
    pub(super) const fn is_pooled(&self) -> bool {
        self.each_transaction.is_some()
    }

    /// Asks whether the server is there.
    pub(crate) fn ping(&mut self) -> QueryResult<()> {
        self.batch_execute("")
    }

    fn query<T>(&mut self, source: &T) -> QueryResult<Answer>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        self.instrumentation
            .on_connection_event(InstrumentationEvent::start_query(&debug_query::<Pg, T>(
                source,
            )));
        let mut binds = RawBytesBindCollector::<Pg>::new();
        source.collect_binds(&mut binds, self, &Pg)?;
        let values = binds.binds.into_iter().map(Encoded);
        let answer = if !self.is_pooled() && source.is_safe_to_cache_prepared(&Pg)? {
            let statement = self.statements.cached_statement(
                source,
                &Pg,
                &binds.metadata,
                &mut self.server,
                prepare,
                &mut self.instrumentation,
            );
            statement.and_then(|statement| self.server.query_prepared(&statement, values.collect()))
        } else {
            let mut sql = PgQueryBuilder::new();
            source.to_sql(&mut sql, &Pg)?;
            let types: Vec<Type> = parameter_types(&binds.metadata)?;
            self.server
                .query_once(&sql.finish(), values.zip(types).collect())
        };
        self.instrumentation
            .on_connection_event(InstrumentationEvent::finish_query(
                &debug_query::<Pg, T>(source),
                answer.as_ref().err(),
            ));
        self.follow(answer)
    }

    /// Keeps account of what an outcome means for the transaction.
    fn follow<T>(&mut self, outcome: QueryResult<T>) -> QueryResult<T> {
        let status = AnsiTransactionManager::transaction_manager_status_mut(self);
        match &outcome {
            // Nothing but a rollback succeeds in a transaction that has failed.
            Ok(_) => status.set_requires_rollback_maybe_up_to_top_level(false),
            Err(DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) => {
                status.set_in_error();
                self.server.client = None;
            }
            Err(_) => status.set_requires_rollback_maybe_up_to_top_level(true),
        }
        outcome
    }
}

fn prepare(
    server: &mut Server,
    sql: &str,
    _: PrepareForCache,
    types: &[PgTypeMetadata],
) -> QueryResult<Statement> {
    server.prepare(sql, &parameter_types(types)?)
}

fn parameter_types(types: &[PgTypeMetadata]) -> QueryResult<Vec<Type>> {
    types.iter().map(row::parameter_type).collect()
}

impl SimpleConnection for PgConnection {
    fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        let outcome = match &self.each_transaction {
            // One way to the server and back for both.
            Some(settings) if sql.starts_with("BEGIN") => {
                let sql = format!("{sql}; {settings}");
                self.server
                    .run(async |client| client.batch_execute(&sql).await)
            }
            _ => self
                .server
                .run(async |client| client.batch_execute(sql).await),
        };
        self.follow(outcome)
    }
}

impl ConnectionSealed for PgConnection {}

impl Connection for PgConnection {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let Dialed {
            client,
            driver,
            socket,
        } = dial(url).map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        Ok(Self {
            server: Server {
                client: Some(client),
                driver,
                socket,
                timeout: Some(STATEMENT_TIMEOUT),
            },
            statements: StatementCache::new(),
            types: PgMetadataCache::new(),
            transaction: AnsiTransactionManager::default(),
            each_transaction: None,
            instrumentation: get_default_instrumentation(),
        })
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let (_, met) = self.query(source)?;
        Ok(usize::try_from(met.unwrap_or(0)).unwrap_or(usize::MAX))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transaction
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = Some(Box::new(instrumentation));
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.statements.set_cache_size(size);
    }
}

impl LoadConnection for PgConnection {
    type Cursor<'conn, 'query> = Rows;
    type Row<'conn, 'query> = PgRow;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Rows>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let (rows, _) = self.query(&source)?;
        Ok(Rows(rows.into_iter()))
    }
}

/// The rows of an answer, all of which are there.
pub struct Rows(std::vec::IntoIter<Row>);

impl Iterator for Rows {
    type Item = QueryResult<PgRow>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|row| Ok(PgRow(row)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl GetPgMetadataCache for PgConnection {
    fn get_metadata_cache(&mut self) -> &mut PgMetadataCache {
        &mut self.types
    }
}

impl MultiConnectionHelper for PgConnection {
    fn to_any<'a>(
        lookup: &mut <Pg as TypeMetadata>::MetadataLookup,
    ) -> &mut (dyn std::any::Any + 'a) {
        lookup.as_any()
    }

    fn from_any(
        lookup: &mut dyn std::any::Any,
    ) -> Option<&mut <Pg as TypeMetadata>::MetadataLookup> {
        let connection: &mut dyn PgMetadataLookup = lookup.downcast_mut::<Self>()?;
        Some(connection)
    }
}

impl MigrationConnection for PgConnection {
    fn setup(&mut self) -> QueryResult<usize> {
        self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0)
    }
}

#[cfg(test)]
mod tests;
