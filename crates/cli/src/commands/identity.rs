//! `mote credentials` and `mote secret`: who may ask, and what tasks are told in confidence.

use std::path::Path;

use anyhow::{Context, Result, bail};
use api::client::Client;
use api::identity::{AccessKey, AccessKeyList, CreateAccessKey, PutSecret, Role};
use serde::Serialize;

use super::task_name::for_each;
use crate::args::{
    Credentials, CredentialsCreate, CredentialsFormat, CredentialsVerb, QuietListing, RoleName, Secret, SecretCreate,
};
use crate::value::rfc3339;
use crate::{host, output};

/// The name of the profile that is printed.
const PROFILE: &str = "mote";

/// `mote credentials`.
pub async fn credentials(host: Option<String>, arguments: Credentials) -> Result<u8> {
    let client = host::connect(host).await?;
    match arguments.verb {
        None => show(&client, arguments.key.as_deref(), arguments.format).await,
        Some(CredentialsVerb::Create(arguments)) => create_key(&client, arguments).await,
        Some(CredentialsVerb::List(listing)) => list_keys(&client, &listing).await,
        Some(CredentialsVerb::Rm(arguments)) => {
            for_each(&arguments.keys, async |id| {
                client.remove_access_key(&id).await?;
                Ok(id)
            })
            .await
        }
    }
}

async fn show(client: &Client, id: Option<&str>, format: CredentialsFormat) -> Result<u8> {
    let known = client.access_keys().await?;
    let mut keys = known.credentials.iter();
    let key = match id {
        Some(id) => keys.find(|key| key.access_key_id == id),
        None => keys.next(),
    };
    let key = key.context("there is no such access key: make one with `mote credentials create`")?;
    print(key, &known, format)
}

async fn create_key(client: &Client, arguments: CredentialsCreate) -> Result<u8> {
    let request = CreateAccessKey {
        role: match arguments.role {
            RoleName::Admin => Role::Admin,
            RoleName::Run => Role::Run,
            RoleName::ReadOnly => Role::ReadOnly,
        },
        description: arguments.description,
    };
    let key = client.create_access_key(&request).await?;
    print(&key, &client.access_keys().await?, arguments.format)
}

/// What goes into the environment or the configuration of a client.
#[derive(Serialize)]
struct Shown<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    role: &'static str,
    endpoint: Option<&'a str>,
    region: &'a str,
}

fn print(key: &AccessKey, known: &AccessKeyList, format: CredentialsFormat) -> Result<u8> {
    let shown = Shown {
        access_key_id: &key.access_key_id,
        secret_access_key: &key.secret_access_key,
        role: key.role.name(),
        endpoint: known.endpoint.as_deref(),
        region: &known.region,
    };
    let lines = match format {
        CredentialsFormat::Json => {
            output::json(&shown)?;
            return Ok(0);
        }
        CredentialsFormat::Env => environment(&shown),
        CredentialsFormat::Profile => profile(&shown),
    };
    for line in lines {
        output::line(&line)?;
    }
    if shown.endpoint.is_none() {
        output::note("the host agent listens on no TCP port: start it with --listen 127.0.0.1:7711");
    }
    Ok(0)
}

fn environment(key: &Shown<'_>) -> Vec<String> {
    let mut lines = vec![
        format!("export AWS_ACCESS_KEY_ID={}", key.access_key_id),
        format!("export AWS_SECRET_ACCESS_KEY={}", key.secret_access_key),
        format!("export AWS_DEFAULT_REGION={}", key.region),
    ];
    if let Some(endpoint) = key.endpoint {
        lines.push(format!("export AWS_ENDPOINT_URL_ECS={endpoint}"));
        lines.push(format!("export AWS_ENDPOINT_URL_CLOUDWATCH_LOGS={endpoint}"));
    }
    lines
}

fn profile(key: &Shown<'_>) -> Vec<String> {
    let mut lines = vec![
        format!("[profile {PROFILE}]"),
        format!("aws_access_key_id = {}", key.access_key_id),
        format!("aws_secret_access_key = {}", key.secret_access_key),
        format!("region = {}", key.region),
    ];
    lines.extend(key.endpoint.map(|endpoint| format!("endpoint_url = {endpoint}")));
    lines
}

/// An access key without its secret half.
#[derive(Serialize)]
struct Listed {
    access_key_id: String,
    role: &'static str,
    description: Option<String>,
    created: String,
}

async fn list_keys(client: &Client, listing: &QuietListing) -> Result<u8> {
    let keys = client.access_keys().await?.credentials;
    let listed = keys.into_iter().map(|key| Listed {
        access_key_id: key.access_key_id,
        role: key.role.name(),
        description: key.description,
        created: rfc3339(key.created_unix_ms),
    });
    let listed: Vec<_> = listed.collect();
    let row = |key: &Listed| {
        vec![
            key.access_key_id.clone(),
            key.role.to_owned(),
            key.created.clone(),
            key.description.clone().unwrap_or_default(),
        ]
    };
    let header = ["ACCESS KEY", "ROLE", "CREATED", "DESCRIPTION"];
    output::quiet_list(listing, &listed, &header, row, |key| key.access_key_id.clone())?;
    Ok(0)
}

/// `mote secret`.
pub async fn secret(host: Option<String>, verb: Secret) -> Result<u8> {
    match verb {
        Secret::Create(arguments) => create_secret(host, arguments).await,
        Secret::List(listing) => {
            let secrets = host::connect(host).await?.secrets().await?.secrets;
            let header = ["NAME", "CREATED", "CHANGED"];
            let row = |secret: &api::identity::SecretSummary| {
                let (created, changed) = (rfc3339(secret.created_unix_ms), rfc3339(secret.changed_unix_ms));
                vec![secret.name.clone(), created, changed]
            };
            output::quiet_list(&listing, &secrets, &header, row, |secret| secret.name.clone())?;
            Ok(0)
        }
        Secret::Rm(arguments) => {
            let client = host::connect(host).await?;
            for_each(&arguments.names, async |name| {
                client.remove_secret(&name).await?;
                Ok(name)
            })
            .await
        }
    }
}

async fn create_secret(host: Option<String>, arguments: SecretCreate) -> Result<u8> {
    let request = PutSecret {
        value: secret_value(arguments.file.as_deref())?,
        name: arguments.name,
        replace: arguments.replace,
    };
    let stored = host::connect(host).await?.put_secret(&request).await?;
    output::line(&stored.name)?;
    Ok(0)
}

/// What a file or standard input holds, to the byte.
fn secret_value(file: Option<&Path>) -> Result<String> {
    use std::io::IsTerminal;
    let value = match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None if std::io::stdin().is_terminal() => {
            bail!("give the secret's value in a file or by standard input, so that nobody sees it")
        }
        None => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
    };
    if value.is_empty() {
        bail!("the secret's value is empty");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(endpoint: Option<&str>) -> Shown<'_> {
        Shown {
            access_key_id: "AKIAEXAMPLE",
            secret_access_key: "s3cr3t",
            role: "admin",
            endpoint,
            region: "us-east-1",
        }
    }

    #[test]
    fn a_shell_can_take_the_environment_over() {
        assert_eq!(
            environment(&shown(Some("http://127.0.0.1:7711"))),
            [
                "export AWS_ACCESS_KEY_ID=AKIAEXAMPLE",
                "export AWS_SECRET_ACCESS_KEY=s3cr3t",
                "export AWS_DEFAULT_REGION=us-east-1",
                "export AWS_ENDPOINT_URL_ECS=http://127.0.0.1:7711",
                "export AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=http://127.0.0.1:7711",
            ]
        );
        assert_eq!(environment(&shown(None)).len(), 3);
    }

    #[test]
    fn a_profile_can_be_appended_to_the_configuration() {
        assert_eq!(
            profile(&shown(Some("http://127.0.0.1:7711"))),
            [
                "[profile mote]",
                "aws_access_key_id = AKIAEXAMPLE",
                "aws_secret_access_key = s3cr3t",
                "region = us-east-1",
                "endpoint_url = http://127.0.0.1:7711",
            ]
        );
    }

    #[test]
    fn a_secret_is_taken_to_the_byte_and_not_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(secret_value(Some(file.path())).is_err());
        std::fs::write(file.path(), "a b\n").unwrap();
        assert_eq!(secret_value(Some(file.path())).unwrap(), "a b\n");
    }
}
