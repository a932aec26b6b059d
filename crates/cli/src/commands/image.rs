//! `mote pull`, `mote load`, `mote save`, `mote images`, `mote rmi`, `mote image`.

use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use api::client::Client;
use api::image::{Credentials, Image, PullRequest, SaveRequest};
use api::system::PruneRequest;
use tokio::io::AsyncRead;

use super::confirmation::is_confirmed;
use super::image_tree;
use super::task_name::for_each;
use crate::args::{ImageNames, ImagePrune, ImageVerb, Images, Load, Pull, Registry, Save};
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

/// `mote image`.
pub async fn image(host: Option<String>, verb: ImageVerb) -> Result<u8> {
    match verb {
        ImageVerb::Ls(images) => list(host, images).await,
        ImageVerb::Pull(arguments) => pull(host, arguments).await,
        ImageVerb::Load(arguments) => load(host, arguments).await,
        ImageVerb::Save(arguments) => save(host, arguments).await,
        ImageVerb::Rm(names) => remove(host, names).await,
        ImageVerb::Prune(arguments) => prune(host, &arguments).await,
    }
}

/// `mote save`.
pub async fn save(host: Option<String>, arguments: Save) -> Result<u8> {
    let request = SaveRequest {
        references: arguments.images,
    };
    let Some(path) = arguments.output.filter(|path| path.as_os_str() != "-") else {
        if std::io::stdout().is_terminal() {
            bail!("an archive is nothing for a terminal: give --output or write it into a pipe");
        }
        let client = host::connect(host).await?;
        client.save(&request, &mut tokio::io::stdout()).await?;
        return Ok(0);
    };
    let client = host::connect(host).await?;
    // Made aside, so that no half of an archive is ever taken for one.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let aside = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
    let aside = aside.with_context(|| format!("cannot make a file beside {}", path.display()))?;
    let file = aside.reopen().context("cannot open a temporary file")?;
    client.save(&request, &mut tokio::fs::File::from_std(file)).await?;
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(aside.path(), readable).context("cannot change a temporary file's mode")?;
    aside
        .persist(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(0)
}

async fn prune(host: Option<String>, arguments: &ImagePrune) -> Result<u8> {
    let until = arguments.until().map_err(|sentence| anyhow::anyhow!(sentence))?;
    let what = if arguments.all {
        "all images that no task uses"
    } else {
        "all images without a name"
    };
    if !arguments.force && !is_confirmed(what)? {
        return Ok(0);
    }
    let request = PruneRequest {
        images: true,
        all_images: arguments.all,
        until_ms: until.map(|moment| moment.unix_ms),
        ..PruneRequest::default()
    };
    let pruned = host::connect(host).await?.prune(&request).await?;
    for image in &pruned.images {
        output::line(image)?;
    }
    output::line(&format!("freed {}", output::size(pruned.freed_bytes)))?;
    Ok(0)
}

/// `mote images`.
pub async fn list(host: Option<String>, arguments: Images) -> Result<u8> {
    let images = host::connect(host).await?.images().await?;
    if arguments.tree {
        for line in image_tree::lines(&images) {
            output::line(&line)?;
        }
        return Ok(0);
    }
    let listing = arguments.listing;
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
