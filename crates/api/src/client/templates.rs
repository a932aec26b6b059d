//! The calls about templates.

use hyper::Method;

use super::body::Outgoing;
use super::{Client, ClientError, percent_encode};
use crate::route;
use crate::template::{BuildRequest, Template, TemplateList};

impl Client {
    /// The templates, and the pool.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn templates(&self) -> Result<TemplateList, ClientError> {
        self.json(Method::GET, route::TEMPLATES, Outgoing::empty()).await
    }

    /// Has the template that tasks need now made, if it is not there, and waits until it is.
    ///
    /// # Errors
    /// [`ClientError`]; also where it cannot be made.
    pub async fn build_template(&self, request: BuildRequest) -> Result<Template, ClientError> {
        self.json(Method::POST, route::TEMPLATES, Outgoing::json(&request))
            .await
    }

    /// Removes a template, by its key or a unique beginning of that.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn remove_template(&self, key: &str) -> Result<(), ClientError> {
        let path = route::TEMPLATE.replace("{template}", &percent_encode(key));
        self.send(Method::DELETE, &path, Outgoing::empty()).await.map(drop)
    }
}
