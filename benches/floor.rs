//! The least that a server on this stack can be: actix-web, a body that is read, one INSERT for all that wait, an
//! answer. It lets everybody in, checks nothing, records nothing and hands nothing out. What a host comes to is
//! shown beside it. It is this same program, started with an argument.

use std::{
    env, io,
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, rt, web};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, Error, Statement, types::Json};

use crate::{
    Failure, Outcome,
    cluster::{Cluster, connect},
};

/// The first argument of it; then what it takes, the database, and where it listens.
const ARGUMENT: &str = "floor";
/// It takes tasks, into the table of the ceilings.
pub(crate) const TASKS: &str = "tasks";
/// It takes memories, by the statement of a host and into its table.
pub(crate) const MEMORIES: &str = "memories";
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many threads answer as there are cores.
const THREADS: usize = 2;

/// A floor that runs; ended when dropped.
pub(crate) struct Floor(Child);

impl Floor {
    /// Starts it on `database` and waits until it listens at `place`: a path of a socket, or an address.
    pub(crate) fn start(
        cluster: &Cluster,
        kind: &str,
        database: &str,
        place: &str,
    ) -> Outcome<Self> {
        let process = Command::new(env::current_exe()?)
            .args([ARGUMENT, kind, &cluster.url(database), place])
            // Whoever works here is ended with the benchmark.
            .current_dir(cluster.workplace("floor")?)
            .stdin(Stdio::null())
            .spawn()?;
        let (mut floor, began) = (Self(process), Instant::now());
        let listens = || {
            if is_path(place) {
                UnixStream::connect(place).is_ok()
            } else {
                TcpStream::connect(place).is_ok()
            }
        };
        while !listens() {
            if began.elapsed() > PATIENCE || floor.0.try_wait()?.is_some() {
                return Err("the floor does not listen".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(floor)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs as the floor if the arguments say so.
pub(crate) fn run_if_asked() -> Option<Result<(), Failure>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [argument, kind, url, place] = &*words else { return None };
    (argument == ARGUMENT).then(|| {
        rt::System::new().block_on(async {
            match kind.as_str() {
                TASKS => Ok(serve::<Task>(url.clone(), place).await?),
                MEMORIES => Ok(serve::<Memory>(url.clone(), place).await?),
                other => Err(format!("there is no floor for {other}").into()),
            }
        })
    })
}

/// Whether a place is the path of a socket; else it is an address.
fn is_path(place: &str) -> bool {
    place.starts_with('/')
}

/// What a request holds.
trait Row: DeserializeOwned + Send + 'static {
    /// Whether each thread that answers writes its own, or one writes all: whichever is faster.
    const EACH: bool;
    const STATEMENT: &str;

    async fn insert(client: &Client, prepared: &Statement, rows: Vec<Self>) -> Result<(), Error>;
}

#[derive(Deserialize)]
struct Task {
    input: Box<RawValue>,
}

impl Row for Task {
    const EACH: bool = false;
    const STATEMENT: &str = "INSERT INTO jobs (payload) SELECT unnest($1::jsonb[]) RETURNING id";

    async fn insert(client: &Client, prepared: &Statement, rows: Vec<Self>) -> Result<(), Error> {
        let inputs: Vec<_> = rows.iter().map(|row| Json(&row.input)).collect();
        client.query(prepared, &[&inputs]).await.map(drop)
    }
}

#[derive(Deserialize)]
struct Memory {
    session_id: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    key: String,
    r#type: String,
    tags: Vec<String>,
    content: Box<RawValue>,
}

impl Row for Memory {
    const EACH: bool = true;
    const STATEMENT: &str = include_str!("../sql/queries/memories/store.sql");

    async fn insert(client: &Client, prepared: &Statement, rows: Vec<Self>) -> Result<(), Error> {
        let texts = |of: fn(&Self) -> &str| rows.iter().map(of).collect::<Vec<_>>();
        let sessions = texts(|row| &row.session_id);
        let (keys, types) = (texts(|row| &row.data.key), texts(|row| &row.data.r#type));
        let contents: Vec<_> = rows.iter().map(|row| Json(&row.data.content)).collect();
        let tags = rows.iter().map(|row| format!("{{{}}}", row.data.tags.join(",")));
        let (tags, at) = (tags.collect::<Vec<_>>(), vec![None::<jiff::Timestamp>; rows.len()]);
        let given = client
            .query(prepared, &[&sessions, &keys, &types, &contents, &tags, &at, &false])
            .await;
        given.map(drop)
    }
}

/// A row, and who waits until it is on disk.
type Waiting<T> = (T, oneshot::Sender<()>);

async fn serve<T: Row>(url: String, place: &str) -> io::Result<()> {
    let all = (!T::EACH).then(|| writer::<T>(url.clone()));
    let server = HttpServer::new(move || {
        let rows = all.clone().unwrap_or_else(|| writer::<T>(url.clone()));
        App::new().app_data(web::Data::new(rows)).default_service(web::post().to(take::<T>))
    });
    let server = server.workers(THREADS);
    let server = if is_path(place) { server.bind_uds(place)? } else { server.bind(place)? };
    server.run().await
}

async fn take<T: Row>(
    rows: web::Data<mpsc::UnboundedSender<Waiting<T>>>,
    body: web::Bytes,
) -> HttpResponse {
    let row = match serde_json::from_slice::<T>(&body) {
        Ok(row) => row,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    let (done, told) = oneshot::channel();
    if rows.send((row, done)).is_ok() && told.await.is_ok() {
        HttpResponse::Created().content_type("application/json").body(r#"{"id":"0"}"#)
    } else {
        HttpResponse::InternalServerError().finish()
    }
}

/// Starts to write what is sent to it, on this thread.
fn writer<T: Row>(url: String) -> mpsc::UnboundedSender<Waiting<T>> {
    let (tell, rows) = mpsc::unbounded_channel();
    rt::spawn(async move {
        // Whoever waits then hears that it has failed.
        if let Err(error) = write::<T>(&url, rows).await {
            eprintln!("floor: {error}");
        }
    });
    tell
}

async fn write<T: Row>(
    url: &str,
    mut rows: mpsc::UnboundedReceiver<Waiting<T>>,
) -> Result<(), Error> {
    let client = connect(&url.parse()?).await?;
    let prepared = client.prepare(T::STATEMENT).await?;
    while let Some(first) = rows.recv().await {
        // Others that were answered a moment ago come first.
        rt::task::yield_now().await;
        let mut batch = vec![first];
        while let Ok(more) = rows.try_recv() {
            batch.push(more);
        }
        let (batch, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        T::insert(&client, &prepared, batch).await?;
        for one in waiting {
            // Whoever asked may have hung up.
            one.send(()).unwrap_or_default();
        }
    }
    Ok(())
}
