//! `mote pull`, `mote load`, `mote images`, `mote rmi`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use api::client::Client;
use api::image::{Credentials, Image, PullRequest};
use tokio::io::AsyncRead;

use super::task_name::for_each;
use crate::args::{ImageNames, Load, Pull, QuietListing, Registry};
use crate::progress::{ImageProgress, short};
use crate::{host, output};

/// `mote pull`.
pub async fn pull(host: Option<String>, arguments: Pull) -> Result<u8> {
    let request = pull_request(&arguments.image, &arguments.registry, arguments.platform)?;
    let client = host::connect(host).await?;
    for image in pull_with_progress(&client, &request, arguments.quiet).await? {
        print_arrival(&image, arguments.quiet)?;
    }
    Ok(0)
}

/// What to ask the host agent for.
pub fn pull_request(reference: &str, registry: &Registry, platform: Option<String>) -> Result<PullRequest> {
    let credentials = match registry.creds.as_deref().map(|creds| creds.split_once(':')) {
        None => None,
        Some(Some((username, password))) => Some(Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
        }),
        Some(None) => bail!("--creds takes a user name and a password with a colon between them"),
    };
    Ok(PullRequest {
        reference: reference.to_owned(),
        credentials,
        insecure: registry.insecure,
        platform,
    })
}

/// Pulls, with bars where a person looks on.
pub async fn pull_with_progress(client: &Client, request: &PullRequest, quiet: bool) -> Result<Vec<Image>> {
    let mut progress = ImageProgress::new(quiet);
    Ok(client.pull(request, |event| progress.show(event)).await?)
}

/// `mote load`.
pub async fn load(host: Option<String>, arguments: Load) -> Result<u8> {
    let path = arguments
        .input
        .or(arguments.path)
        .filter(|path| path.as_os_str() != "-");
    let client = host::connect(host).await?;
    for image in load_with_progress(&client, path.as_deref(), arguments.name.as_deref(), arguments.quiet).await? {
        print_arrival(&image, arguments.quiet)?;
    }
    Ok(0)
}

/// Loads an archive, a layout directory, or, without a path, standard input.
pub async fn load_with_progress(
    client: &Client,
    path: Option<&Path>,
    name: Option<&str>,
    quiet: bool,
) -> Result<Vec<Image>> {
    let archive: Box<dyn AsyncRead + Send + Unpin> = match path {
        None => Box::new(tokio::io::stdin()),
        Some(path) if path.is_dir() => Box::new(pack(path.to_owned()).await?),
        Some(path) => {
            let file = tokio::fs::File::open(path).await;
            Box::new(file.with_context(|| format!("cannot open the image archive {}", path.display()))?)
        }
    };
    let mut progress = ImageProgress::new(quiet);
    Ok(client.load(archive, name, |event| progress.show(event)).await?)
}

/// An OCI layout directory as an archive of it, in an unnamed temporary file.
async fn pack(directory: PathBuf) -> Result<tokio::fs::File> {
    let packed = tokio::task::spawn_blocking(move || -> Result<std::fs::File> {
        use std::io::{Seek, SeekFrom};
        if !directory.join("oci-layout").is_file() {
            bail!(
                "{} is not an OCI layout: it has no file oci-layout",
                directory.display()
            );
        }
        let mut archive = tar::Builder::new(tempfile::tempfile().context("cannot make a temporary file")?);
        archive
            .append_dir_all(".", &directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        let mut file = archive.into_inner().context("cannot write a temporary file")?;
        file.seek(SeekFrom::Start(0))
            .context("cannot rewind a temporary file")?;
        Ok(file)
    });
    Ok(tokio::fs::File::from_std(
        packed.await.context("packing the layout failed")??,
    ))
}

fn print_arrival(image: &Image, quiet: bool) -> Result<()> {
    let name = image.names.first().unwrap_or(&image.digest);
    if quiet {
        output::line(name)?;
    } else {
        output::line(&format!("{name} {} {}", image.digest, output::size(image.size_bytes)))?;
    }
    Ok(())
}

/// `mote images`.
pub async fn list(host: Option<String>, listing: QuietListing) -> Result<u8> {
    let images = host::connect(host).await?.images().await?;
    let header = ["IMAGE", "DIGEST", "PLATFORM", "LAYERS", "SIZE"];
    let name = |image: &Image| image.names.first().unwrap_or(&image.digest).clone();
    output::quiet_list(&listing, &images, &header, row, name)?;
    Ok(0)
}

fn row(image: &Image) -> Vec<String> {
    let names = if image.names.is_empty() {
        "<none>".to_owned()
    } else {
        image.names.join(", ")
    };
    let size = output::size(image.size_bytes);
    vec![
        names,
        short(&image.digest),
        image.platform.clone(),
        image.layers.to_string(),
        size,
    ]
}

/// `mote rmi`.
pub async fn remove(host: Option<String>, names: ImageNames) -> Result<u8> {
    let client = host::connect(host).await?;
    for_each(&names.images, async |image| {
        client.remove_image(&image).await?;
        Ok(image)
    })
    .await
}
