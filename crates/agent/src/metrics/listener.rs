//! A TCP port for Prometheus: metrics and health, without signatures, and nothing else.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::readings::Source;
use super::{Metrics, http};

/// Answers on `listener` until `closing`.
///
/// # Errors
/// Where the socket fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    source: Arc<dyn Source>,
    closing: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, http::router(metrics, source))
        .with_graceful_shutdown(closing)
        .await
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::future::{BoxFuture, FutureExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::metrics::readings::Readings;

    struct Quiet(Vec<String>);

    impl Source for Quiet {
        fn read(&self) -> BoxFuture<'_, Readings> {
            async { Readings::default() }.boxed()
        }

        fn problems(&self) -> BoxFuture<'_, Vec<String>> {
            async { self.0.clone() }.boxed()
        }
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: mote\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_health_are_served_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let source = Arc::new(Quiet(vec!["there is no /dev/kvm".to_owned()]));
        let (close, closing) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, Metrics::new(), source, async {
            let _ = closing.await;
        }));
        let metrics = get(address, "/metrics").await;
        assert!(
            metrics.contains("application/openmetrics-text") && metrics.contains("# EOF"),
            "{metrics}"
        );
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let ready = get(address, "/readyz").await;
        assert!(
            ready.starts_with("HTTP/1.1 503") && ready.contains("there is no /dev/kvm"),
            "{ready}"
        );
        assert!(get(address, "/v1/tasks").await.starts_with("HTTP/1.1 404"));
        drop(close);
        serving.await.unwrap().unwrap();
    }
}
