//! What is logged, and in which form.

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Where the environment says what is logged.
const LOG_VARIABLE: &str = "MOTE_LOG";

/// Has everything logged to standard error from now on.
pub fn begin(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
