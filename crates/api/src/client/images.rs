//! The calls about images.

use http_body_util::BodyExt;
use hyper::Method;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::body::Outgoing;
use super::{Client, ClientError, answer, percent_encode};
use crate::image::{Image, ImageEvent, ImageList, LoggedOut, LoginRequest, LogoutRequest, PullRequest, SaveRequest};
use crate::route;

impl Client {
    /// The images in the store.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn images(&self) -> Result<Vec<Image>, ClientError> {
        let list: ImageList = self.json(Method::GET, route::IMAGES, Outgoing::empty()).await?;
        Ok(list.images)
    }

    /// Brings an image from its registry into the store; `on_event` hears of every step.
    ///
    /// # Errors
    /// [`ClientError`]; also where the pull itself fails.
    pub async fn pull(
        &self,
        request: &PullRequest,
        on_event: impl FnMut(&ImageEvent),
    ) -> Result<Vec<Image>, ClientError> {
        let body = Outgoing::json(request);
        self.image_events(route::IMAGES_PULL, body, on_event).await
    }

    /// Brings the images of an archive into the store; `name` names an image that the archive does not name.
    ///
    /// # Errors
    /// [`ClientError`]; also where the archive cannot be read or used, and where requests have to be signed.
    pub async fn load(
        &self,
        archive: impl AsyncRead + Send + Unpin + 'static,
        name: Option<&str>,
        on_event: impl FnMut(&ImageEvent),
    ) -> Result<Vec<Image>, ClientError> {
        // Refused there as well, but while the archive is still being sent.
        if self.signer.is_some() {
            return Err(ClientError::TooLongToSign);
        }
        let path = match name {
            Some(name) => format!("{}?name={}", route::IMAGES_LOAD, percent_encode(name)),
            None => route::IMAGES_LOAD.to_owned(),
        };
        self.image_events(&path, Outgoing::stream(archive), on_event).await
    }

    /// Drops a name, and the image with its last one.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn remove_image(&self, reference: &str) -> Result<(), ClientError> {
        let path = route::IMAGE.replace("{reference}", &percent_encode(reference));
        self.send(Method::DELETE, &path, Outgoing::empty()).await.map(drop)
    }

    /// Writes an OCI archive of images to `out`.
    ///
    /// # Errors
    /// [`ClientError`]; also where the archive ends early, or cannot be written.
    pub async fn save(&self, request: &SaveRequest, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), ClientError> {
        let operation = format!("POST {}", route::IMAGES_SAVE);
        let response = self
            .send(Method::POST, route::IMAGES_SAVE, Outgoing::json(request))
            .await?;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| ClientError::Http {
                operation: operation.clone(),
                source,
            })?;
            if let Ok(bytes) = frame.into_data() {
                out.write_all(&bytes).await.map_err(ClientError::Write)?;
            }
        }
        out.flush().await.map_err(ClientError::Write)
    }

    /// Signs in to a registry, and has the host agent keep that.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn login(&self, request: &LoginRequest) -> Result<(), ClientError> {
        let body = Outgoing::json(request);
        self.send(Method::POST, route::REGISTRY_LOGIN, body).await.map(drop)
    }

    /// Has the host agent forget what it keeps of a registry.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn logout(&self, request: &LogoutRequest) -> Result<LoggedOut, ClientError> {
        let body = Outgoing::json(request);
        self.json(Method::POST, route::REGISTRY_LOGOUT, body).await
    }

    async fn image_events(
        &self,
        path: &str,
        body: Outgoing,
        mut on_event: impl FnMut(&ImageEvent),
    ) -> Result<Vec<Image>, ClientError> {
        let mut events = self.lines(Method::POST, path, body).await?;
        while let Some(event) = events.next().await? {
            on_event(&event);
            match event {
                ImageEvent::Done { images } => return Ok(images),
                ImageEvent::Failed { error } => return Err(error.into()),
                _ => {}
            }
        }
        Err(answer(&format!("POST {path}"), "it ended early"))
    }
}
