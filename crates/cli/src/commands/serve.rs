//! `taskwright serve`

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use taskwright_server::{Credential, Server, ServerOptions};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::signals::Signals;
use crate::{connect, show};

/// Serve a store over HTTP, to workers and clients in any language
#[derive(Debug, Args)]
#[command(
    after_help = "The first start writes a token to DIR/token, which only you can read; clients send it as\n\
`Authorization: Bearer TOKEN`. TASKWRIGHT_TOKEN sets another one.\n\
With --store postgres://… any number of servers may serve the same jobs; each keeps its token in --data DIR."
)]
pub struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, ServerOptions::PORT_DEFAULT)))]
    listen: SocketAddr,
    /// A name by which clients may call this server, beside localhost and the address
    #[arg(long = "host-name", value_name = "NAME")]
    host_names: Vec<String>,
    /// Listen beyond this machine although nothing is encrypted
    #[arg(long)]
    allow_plaintext: bool,
}

/// Serves until the process is asked to end.
pub async fn run(global: &Global, arguments: Arguments) -> Result<Exit> {
    let data = connect::data(global);
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("TASKWRIGHT_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(show::wants_colours(&std::io::stderr()))
        .init();
    let store = connect::store(global);
    let app = match &store {
        Some(url) => connect::open_url(connect::options(global), url).await?,
        None => connect::open(connect::options(global), &data).await?,
    };
    let place = store.map_or_else(|| data.display().to_string(), |url| taskwright::shown(&url));
    let credential = match std::env::var("TASKWRIGHT_TOKEN") {
        Ok(token) if !token.is_empty() => Credential::of(&token).map_err(anyhow::Error::from),
        _ => token_in(&data),
    }
    .with_context(|| format!("cannot serve {place}"))?;
    let mut options = ServerOptions::new(credential.clone());
    options.listen = arguments.listen;
    options.host_names = arguments.host_names;
    options.allow_plaintext = arguments.allow_plaintext;
    let server = Server::bind(Arc::clone(app.api()), options).await?;
    let asked_to_end = asked_to_end()?;
    announce(global, &server, &credential, &place)?;
    server.run(asked_to_end).await;
    app.close().await?;
    eprintln!("Stopped.");
    Ok(Exit::Done)
}

/// The token in a directory, which is made where no store has made it.
fn token_in(directory: &Path) -> Result<Credential> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
        format!("cannot make {} for the token; name another with --data", directory.display())
    })?;
    Ok(Credential::at(&directory.join(connect::TOKEN))?)
}

fn announce(global: &Global, server: &Server, credential: &Credential, place: &str) -> Result<()> {
    let address = server.address();
    let token = credential.source().map(|path| path.display().to_string());
    if global.json {
        show::print(json!({
            "listening": format!("http://{address}"), "data": place, "token_file": token,
        }))?;
    } else {
        show::print(format_args!("Serving {place} at http://{address}"))?;
        let place = token.unwrap_or_else(|| "TASKWRIGHT_TOKEN".to_owned());
        show::print(format_args!("Its token is in {place}; Ctrl-C stops."))?;
    }
    Ok(())
}

/// Ends when the process is asked to end. A second request ends the process at once.
fn asked_to_end() -> Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen()?;
    Signals::listen()?.exit_at(2);
    Ok(async move {
        signals.next().await;
        eprintln!("Stopping; once more stops at once.");
    })
}
