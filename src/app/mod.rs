//! LOCAL STAND-IN, thrown away at the merge: the composition root, with fake actors.

use std::{process::ExitCode, sync::Arc};

use slog::{Discard, Logger, o};

use crate::{
    domain::HostId,
    http::{HostInfo, Server, State},
    queue::QueueHandle,
    settings::Settings,
    supervisor::SupervisorHandle,
};

/// How the demo is shown.
#[derive(Debug, Clone, Copy)]
pub struct DemoOptions {
    /// As one JSON object.
    pub json: bool,
}

/// Checks the templates of an argv.
pub fn check_template(_argv: &[String]) -> Result<(), String> {
    Ok(())
}

/// Runs the host.
pub fn up(settings: Settings) -> ExitCode {
    let system = actix::System::new();
    system.block_on(async {
        std::fs::create_dir_all(&settings.host.data_dir).expect("data dir");
        let host = HostInfo {
            id: HostId::from_uuid(uuid::Uuid::now_v7()),
            name: settings.host.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: jiff::Timestamp::now(),
        };
        let state = State::new(
            QueueHandle::default(),
            SupervisorHandle::stand_in(settings.host.log_dir()),
            settings.http.clone(),
            settings.tasks.clone(),
            host,
            Arc::new(|| Box::pin(async { "# EOF\n".to_owned() })),
            Logger::root(Discard, o!()),
        );
        let server = match Server::start(state, &settings.host.socket()).await {
            Ok(server) => server,
            Err(error) => {
                eprintln!("{}", crate::telemetry::Chain(&error));
                return ExitCode::FAILURE;
            }
        };
        println!("{:?}", server.addresses());
        tokio::signal::ctrl_c().await.expect("signal");
        server.stop(true).await;
        ExitCode::SUCCESS
    })
}

/// Runs the demo.
pub fn demo(_options: DemoOptions) -> ExitCode {
    ExitCode::SUCCESS
}
