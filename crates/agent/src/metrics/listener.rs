//! A TCP port for Prometheus: metrics and health, without signatures, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::readings::Source;
use super::{Metrics, http};

/// Where metrics are to be had over TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Address {
    /// Nowhere.
    #[default]
    None,
    /// Here.
    At(SocketAddr),
}

/// Why an address cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address for metrics: give one like 127.0.0.1:9477, or none")]
pub struct AddressError(String);

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "none" => Ok(Self::None),
            text => text.parse().map(Self::At).map_err(|_| AddressError(text.to_owned())),
        }
    }
}

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

    #[test]
    fn an_address_or_none() {
        assert_eq!("none".parse::<Address>().unwrap(), Address::None);
        assert_eq!(
            "127.0.0.1:9477".parse::<Address>().unwrap(),
            Address::At(SocketAddr::from(([127, 0, 0, 1], 9477)))
        );
        assert!("9477".parse::<Address>().is_err());
    }
}
