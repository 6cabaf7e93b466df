//! The stores that machines ship to, each of a stand-in of its provider.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::aws::{KEY_ID, Moto, REGION};
use crate::clouds::{ACCOUNT, Azurite, Cloud};
use crate::peers;

const BUCKET: &str = "machines";
const SECRET: &str = "a-secret-of-the-suite";

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    S3,
    Gcs,
    Azure,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::S3, Kind::Gcs, Kind::Azure];

    pub fn name(self) -> &'static str {
        match self {
            Kind::S3 => "s3",
            Kind::Gcs => "gcs",
            Kind::Azure => "azure",
        }
    }
}

/// A running store with a bucket in it; stopped when dropped.
pub enum Store {
    S3(Moto),
    Cloud(Cloud),
}

impl Store {
    pub fn start(kind: Kind, folder: &Path) -> Result<Store> {
        Ok(match kind {
            Kind::S3 => {
                peers::install(&["aws".to_owned()])?;
                let moto = Moto::start(folder, SECRET)?;
                moto.ask("bucket", &[("name", BUCKET)], b"")?;
                Store::S3(moto)
            }
            Kind::Gcs => Store::in_cloud(|| Cloud::gcs(folder, SECRET))?,
            Kind::Azure => Store::in_cloud(|| Cloud::azure(folder, SECRET))?,
        })
    }

    fn in_cloud(start: impl FnOnce() -> Result<Cloud>) -> Result<Store> {
        peers::install(&["clouds".to_owned()])?;
        let cloud = start()?;
        cloud.make_bucket(BUCKET)?;
        Ok(Store::Cloud(cloud))
    }

    /// Whether lists of it may begin at a name, where there are older ones that do not.
    pub fn know_start(&self, known: bool) -> Result<()> {
        match self {
            Store::S3(_) => Ok(()),
            Store::Cloud(cloud) => cloud.know_start(known),
        }
    }

    pub fn address(&self, prefix: &str) -> String {
        match self {
            Store::S3(_) => format!("s3://{BUCKET}/{prefix}"),
            Store::Cloud(Cloud::Gcs(_)) => format!("gs://{BUCKET}/{prefix}"),
            Store::Cloud(Cloud::Azure(_)) => format!("az://{BUCKET}/{prefix}"),
        }
    }

    /// Tells a node where the store is, and who it is.
    pub fn tell(&self, command: &mut Command) {
        let (variables, options) = match self {
            Store::S3(moto) => (
                vec![
                    ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
                    ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
                    ("AWS_REGION", REGION.to_owned()),
                ],
                vec![format!("s3.endpoint=http://127.0.0.1:{}", moto.port)],
            ),
            Store::Cloud(Cloud::Gcs(gcs)) => (
                vec![("SUITE_TOKEN", SECRET.to_owned())],
                vec![
                    format!("google.endpoint=http://127.0.0.1:{}", gcs.port),
                    "google.access-token=${env:SUITE_TOKEN}".to_owned(),
                ],
            ),
            Store::Cloud(Cloud::Azure(azurite)) => (
                vec![
                    ("AZURE_STORAGE_KEY", Azurite::key(SECRET)),
                    ("AZURE_STORAGE_ACCOUNT", ACCOUNT.to_owned()),
                ],
                vec![format!("azure.endpoint=http://127.0.0.1:{}/{ACCOUNT}", azurite.port)],
            ),
        };
        command.envs(variables);
        for option in options {
            command.args(["--remote-option", &option]);
        }
    }
}
