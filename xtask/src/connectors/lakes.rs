//! Tables of lakes: Delta and Iceberg in a bucket of S3 (moto), Delta in buckets of Google and Azure as stand-ins have them, and
//! Iceberg in a REST catalog with its files on this machine.
//!
//! moto keeps nothing over a restart, so a server that is away is one whose gate is shut. What was written is read by the
//! libraries of others.

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::gate::Gate;
use super::outside::{Direction, FIRST_PASSWORD, Outside, Place, text};
use crate::aws::{KEY_ID, Moto, REGION};
use crate::clouds::Cloud;
use crate::lakes::{Catalog, Reader};
use crate::process::Server;

const COMMITS: &str = "'sink.commit.interval' = '100 ms'";
const MISMATCH: &str = "column 'n': it is declared as BIGINT, and the table has STRING";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Delta,
    Iceberg,
}

/// A table in a bucket.
pub struct InBucket {
    format: Format,
    moto: Moto,
    gate: Gate,
    reader: Reader,
    secret: String,
}

/// A bucket's name has no underscores.
fn bucket(place: &Place) -> String {
    place.name.replace('_', "-")
}

/// Why a case does not apply to any of them.
fn exempt_of_all(case: &str) -> Option<&'static str> {
    (case == "poison").then_some("a table of a lake refuses no row: columns that do not fit end the job")
}

impl InBucket {
    pub fn new(format: Format, folder: &Path) -> Result<InBucket> {
        let moto = Moto::start(folder, FIRST_PASSWORD)?;
        let (gate, reader) = (Gate::to(moto.port)?, Reader::start(folder)?);
        Ok(InBucket { format, gate, moto, reader, secret: FIRST_PASSWORD.to_owned() })
    }

    /// Where the table lies.
    fn address(&self, place: &Place) -> String {
        match self.format {
            Format::Delta => format!("s3://{}/lake/numbers", bucket(place)),
            Format::Iceberg => format!("s3://{}/lake/shop/numbers", bucket(place)),
        }
    }

    /// How the library reads it, beside the gate.
    fn library(&self) -> Value {
        let endpoint = format!("http://127.0.0.1:{}", self.moto.port);
        match self.format {
            Format::Delta => json!({
                "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": self.secret,
                "AWS_REGION": REGION, "AWS_ALLOW_HTTP": "true",
            }),
            Format::Iceberg => json!({
                "s3.endpoint": endpoint, "s3.access-key-id": KEY_ID, "s3.secret-access-key": self.secret,
                "s3.region": REGION, "s3.force-virtual-addressing": "False",
            }),
        }
    }

    fn put_object(&self, place: &Place, name: &str, body: &str) -> Result<()> {
        let prefix = format!("s3://{}/", bucket(place));
        let address = self.address(place);
        let key = format!("{}/{name}", address.strip_prefix(&prefix).unwrap_or_default());
        self.moto.ask("put_object", &[("name", &bucket(place)), ("key", &key)], body.as_bytes()).map(drop)
    }
}

impl Outside for InBucket {
    fn name(&self) -> &'static str {
        match self.format {
            Format::Delta => "delta",
            Format::Iceberg => "iceberg",
        }
    }

    fn connector(&self) -> &'static str {
        self.name()
    }

    fn version(&self) -> Result<String> {
        let reader = match self.format {
            Format::Delta => Reader::of_delta(),
            Format::Iceberg => format!("{}, tables of a folder", Reader::of_iceberg()),
        };
        let moto = Moto::version();
        Ok(format!(
            "a bucket in {moto}, read by {reader}; away is a shut gate, for moto keeps nothing over a restart"
        ))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        exempt_of_all(case)
    }

    /// A table has none.
    fn keeps_order(&self, _direction: Direction) -> bool {
        false
    }

    fn refusal(&self) -> &'static str {
        "SignatureDoesNotMatch"
    }

    fn server(&self) -> Result<&Server> {
        Ok(&self.moto.server)
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.moto.ask("bucket", &[("name", &bucket(place))], b"").map(drop)
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        let table = match self.format {
            Format::Delta => format!("'connector' = 'delta', 'table-path' = '{}'", self.address(place)),
            Format::Iceberg => format!(
                "'connector' = 'iceberg', 'catalog-type' = 'hadoop', 'warehouse' = 's3://{}/lake', \
                 'catalog-database' = 'shop', 'catalog-table' = 'numbers'",
                bucket(place)
            ),
        };
        format!(
            "{table}, {COMMITS}, 'aws.region' = '{REGION}', 's3.endpoint' = 'http://127.0.0.1:{}', \
             'aws.credentials.provider' = 'BASIC', 'aws.credentials.basic.accesskeyid' = '{KEY_ID}', \
             'aws.credentials.basic.secretkey' = '${{file:{}}}', 'timeout' = '4 s'",
            self.gate.port,
            text(&place.password_file()),
        )
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        self.reader.numbers(self.name(), &self.address(place), &self.library())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.secret = password.to_owned();
        self.moto.ask("secret", &[], password.as_bytes()).map(drop)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        self.prepare(place, direction)?;
        match self.format {
            Format::Delta => {
                self.put_object(place, "_delta_log/00000000000000000000.json", &log_of_texts())?;
            }
            Format::Iceberg => {
                let field = |id: u32, name: &str, of: &str| json!({"id": id, "name": name, "type": of, "required": false});
                let fields = [field(1, "k", "long"), field(2, "n", "string")];
                let metadata = json!({"format-version": 2, "table-uuid": "1", "location": self.address(place),
                    "last-sequence-number": 0, "last-updated-ms": 0, "last-column-id": 2, "current-schema-id": 0,
                    "schemas": [{"type": "struct", "schema-id": 0, "fields": fields}],
                    "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}]});
                self.put_object(place, "metadata/v1.metadata.json", &metadata.to_string())?;
            }
        }
        Ok(MISMATCH.to_owned())
    }
}

/// The first version of a Delta table whose column `n` holds texts.
fn log_of_texts() -> String {
    let field = |name: &str, of: &str| json!({"name": name, "type": of, "nullable": true, "metadata": {}});
    let schema = json!({"type": "struct", "fields": [field("k", "long"), field("n", "string")]});
    let metadata = json!({"metaData": {"id": "1", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema.to_string(), "partitionColumns": [], "configuration": {}}});
    let protocol = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}});
    format!("{protocol}\n{metadata}\n")
}

/// A Delta table in a bucket of Google or Azure. Its files are copied here to be read: those of such a table name each other
/// within its folder.
pub struct InCloud {
    cloud: Cloud,
    gate: Gate,
    reader: Reader,
}

impl InCloud {
    pub fn new(cloud: Cloud, folder: &Path) -> Result<InCloud> {
        Ok(InCloud { gate: Gate::to(cloud.port())?, reader: Reader::start(folder)?, cloud })
    }
}

impl Outside for InCloud {
    fn name(&self) -> &'static str {
        match self.cloud {
            Cloud::Gcs(_) => "delta-gcs",
            Cloud::Azure(_) => "delta-azure",
        }
    }

    fn connector(&self) -> &'static str {
        "delta"
    }

    fn version(&self) -> Result<String> {
        Ok(format!(
            "a bucket in {}, whose files are read by {}; away is a shut gate, for it keeps nothing over a restart",
            self.cloud.name(),
            Reader::of_delta()
        ))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        exempt_of_all(case)
    }

    /// A table has none.
    fn keeps_order(&self, _direction: Direction) -> bool {
        false
    }

    fn refusal(&self) -> &'static str {
        self.cloud.refusal()
    }

    fn server(&self) -> Result<&Server> {
        Ok(self.cloud.server())
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn password(&self, word: &str) -> String {
        self.cloud.written(word)
    }

    fn prepare(&mut self, place: &Place, _direction: Direction) -> Result<()> {
        self.cloud.make_bucket(&bucket(place))
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'delta', 'table-path' = '{}', {COMMITS}, {}, 'timeout' = '4 s'",
            self.cloud.address(&bucket(place), "lake/numbers"),
            self.cloud.options(self.gate.port, &text(&place.password_file())),
        )
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        let copy = tempfile::tempdir()?;
        for (key, bytes) in self.cloud.objects(&bucket(place), |_| true)? {
            let path = copy.path().join(&key);
            std::fs::create_dir_all(path.parent().unwrap_or(copy.path()))?;
            std::fs::write(path, bytes)?;
        }
        self.reader.numbers("delta", &text(&copy.path().join("lake/numbers")), &json!({}))
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.cloud.set_word(password)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        self.prepare(place, direction)?;
        let key = "lake/numbers/_delta_log/00000000000000000000.json";
        self.cloud.put_object(&bucket(place), key, log_of_texts().as_bytes())?;
        Ok(MISMATCH.to_owned())
    }
}

/// A table of a REST catalog.
pub struct InCatalog {
    catalog: Catalog,
    gate: Gate,
    reader: Reader,
    secret: String,
}

fn table(place: &Place) -> String {
    format!("shop.{}", place.name)
}

impl InCatalog {
    pub fn new(folder: &Path) -> Result<InCatalog> {
        let catalog = Catalog::start(FIRST_PASSWORD)?;
        let (gate, reader) = (Gate::to(catalog.port)?, Reader::start(folder)?);
        Ok(InCatalog { gate, catalog, reader, secret: FIRST_PASSWORD.to_owned() })
    }

    /// How the library reads it, beside the gate.
    fn library(&self) -> Value {
        let uri = format!("http://127.0.0.1:{}", self.catalog.port);
        json!({"uri": uri, "credential": format!("conformance:{}", self.secret)})
    }
}

impl Outside for InCatalog {
    fn name(&self) -> &'static str {
        "iceberg-rest"
    }

    fn connector(&self) -> &'static str {
        "iceberg"
    }

    fn version(&self) -> Result<String> {
        Ok(format!("{}, files on this machine, read by {}", Catalog::version(), Reader::of_iceberg()))
    }

    fn directions(&self) -> &'static [Direction] {
        &[Direction::Sink]
    }

    fn exempt(&self, _direction: Direction, case: &str) -> Option<&'static str> {
        match case {
            "slow" => Some("the catalog is told little: the rows go to the folder"),
            case => exempt_of_all(case),
        }
    }

    /// A table has none.
    fn keeps_order(&self, _direction: Direction) -> bool {
        false
    }

    fn refusal(&self) -> &'static str {
        "the secret is another one"
    }

    fn server(&self) -> Result<&Server> {
        self.catalog.server()
    }

    fn start(&mut self) -> Result<()> {
        self.catalog.serve()
    }

    fn kill(&mut self) -> Result<()> {
        self.catalog.kill();
        Ok(())
    }

    fn gate(&self) -> Result<&Gate> {
        Ok(&self.gate)
    }

    fn prepare(&mut self, _place: &Place, _direction: Direction) -> Result<()> {
        // The job makes the table.
        Ok(())
    }

    fn options(&self, place: &Place, _direction: Direction) -> String {
        format!(
            "'connector' = 'iceberg', 'catalog-type' = 'rest', 'uri' = 'http://127.0.0.1:{}', \
             'catalog-database' = 'shop', 'catalog-table' = '{}', 'credential' = '${{file:{}}}', {COMMITS}, \
             'rest.local-files' = 'true', 'timeout' = '4 s'",
            self.gate.port,
            place.name,
            text(&place.password_file()),
        )
    }

    fn read(&mut self, place: &Place) -> Result<Vec<u64>> {
        self.reader.numbers("rest", &table(place), &self.library())
    }

    fn set_password(&mut self, password: &str) -> Result<()> {
        self.secret = password.to_owned();
        self.catalog.set_secret(password)
    }

    fn mismatch(&mut self, place: &Place, direction: Direction) -> Result<String> {
        if direction == Direction::Source {
            bail!("it is no source");
        }
        self.reader.ask("make", "rest", &table(place), &self.library())?;
        Ok(MISMATCH.to_owned())
    }
}
