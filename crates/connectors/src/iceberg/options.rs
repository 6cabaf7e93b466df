//! The options of `iceberg`, under the names of Flink's connector and of Iceberg's own settings.

use super::rest::Place;
use super::rest_identity::Login;
use super::schema;
use super::table::Declared;
use crate::aws::options::{PATH_STYLE, ROOT_CAS, S3_ENDPOINT, TIMEOUT};
use crate::lake::options::{COMMIT_INTERVAL, CREATE, CREATE_TABLE, INTERVAL, PARALLELISM};
use crate::lake::storage::{Address, Stores, below};
use crate::lake::{Policy, declared_problems, outbox_rows};
use crate::objects::ObjectPlace;
use crate::objects::options::{COUNT, problems, with_common};
use crate::{CONNECTOR, SINK_RATE_LIMIT, option_problem, optional, plain_options};
use auth::https::Url;
use base::options::{OptionKind, OptionSpec, Options};
use dataflow::connector::ConnectorError;
use dataflow::table::TableDefinition;
use os::Os;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use std::path::PathBuf;
use std::time::Duration;

const TYPE: &str = "catalog-type";
const DATABASE: &str = "catalog-database";
const TABLE: &str = "catalog-table";
const WAREHOUSE: &str = "warehouse";
const URI: &str = "uri";
const TOKEN: &str = "token";
const CREDENTIAL: &str = "credential";
const SCOPE: &str = "scope";
const TOKEN_SERVER: &str = "oauth2-server-uri";
const PREFIX: &str = "prefix";
/// Whether a catalog may name files of this machine.
pub(super) const LOCAL: &str = "rest.local-files";
const CODEC: &str = "write.parquet.compression-codec";
const ROW_GROUP: &str = "write.parquet.row-group-size-bytes";
const FILE_SIZE: &str = "write.target-file-size-bytes";

const OWN: usize = 24;

const OWN_OPTIONS: [OptionSpec; OWN] = [
    CONNECTOR,
    OptionSpec {
        key: TYPE,
        kind: OptionKind::OneOf(&["hadoop", "rest"]),
        required: true,
        default: None,
        doc: "What says where the table is: `hadoop`, a folder with tables, or `rest`, a server of Iceberg's REST protocol.",
        example: "rest",
    },
    optional(
        "catalog-name",
        OptionKind::Text,
        None,
        "Accepted for Flink's sake; a catalog is known by where it is.",
        "shop",
    ),
    optional(
        WAREHOUSE,
        OptionKind::Text,
        None,
        "Of `hadoop`, which needs it: the folder with the databases, on this machine or in a bucket of S3 (`s3://BUCKET/FOLDER`), of \
         Google Cloud Storage (`gs://BUCKET/FOLDER`), or of Azure Blob Storage \
         (`abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER`, or `az://CONTAINER/FOLDER`). Of `rest`: the warehouse's name there, if the server has several.",
        "s3://shop/warehouse",
    ),
    optional(
        URI,
        OptionKind::Text,
        None,
        "Of `rest`, which needs it: where the server is. `/v1/…` comes behind it.",
        "http://localhost:8181",
    ),
    optional(
        DATABASE,
        OptionKind::Text,
        Some("default_database"),
        "The database; in a REST catalog a namespace, whose levels have dots in between.",
        "shop",
    ),
    optional(TABLE, OptionKind::Text, None, "The table; without it, what it is called here.", "orders"),
    optional(
        TOKEN,
        OptionKind::Text,
        None,
        "Of `rest`: a token that the server is shown. `${env:NAME}` or `${file:PATH}` keeps it out of the job's file.",
        "${env:CATALOG_TOKEN}",
    ),
    optional(
        CREDENTIAL,
        OptionKind::Text,
        None,
        "Of `rest`: `ID:SECRET`, which is exchanged for a token (OAuth 2, client credentials). `${env:NAME}` or `${file:PATH}` keeps \
         it out of the job's file, and is read again when the server refuses the token.",
        "${env:CATALOG_CREDENTIAL}",
    ),
    optional(SCOPE, OptionKind::Text, Some("catalog"), "What the token is asked for.", "PRINCIPAL_ROLE:ALL"),
    optional(
        TOKEN_SERVER,
        OptionKind::Text,
        None,
        "Where the credential is exchanged, if not at the catalog (`/v1/oauth/tokens`).",
        "https://login.example.com/oauth/token",
    ),
    optional(
        PREFIX,
        OptionKind::Text,
        None,
        "Of `rest`: what comes behind `/v1/` in paths, where the server does not say it itself.",
        "shop",
    ),
    optional(
        LOCAL,
        OptionKind::Boolean,
        None,
        "Of `rest`: whether tables may lie in folders of this machine. Which ones says the server, so it could have files written \
         anywhere that we may write; without it they may not.",
        "true",
    ),
    COMMIT_INTERVAL,
    optional(
        FILE_SIZE,
        OptionKind::Integer { min: 1, max: 1 << 40 },
        Some("134217728"),
        "Rows are committed when their files have grown to so many bytes.",
        "67108864",
    ),
    CREATE_TABLE,
    optional(
        "format-version",
        OptionKind::OneOf(&["2"]),
        Some("2"),
        "The version of the specification that a table is made with.",
        "2",
    ),
    optional(
        "write.format.default",
        OptionKind::OneOf(&["parquet"]),
        Some("parquet"),
        "The format of the files.",
        "parquet",
    ),
    optional(
        CODEC,
        OptionKind::OneOf(&["uncompressed", "snappy", "gzip", "zstd"]),
        Some("zstd"),
        "How the pages of the files are compressed.",
        "snappy",
    ),
    optional(
        ROW_GROUP,
        OptionKind::Integer { min: 1 << 20, max: 1 << 30 },
        Some("134217728"),
        "A row group is ended when it has grown to so many bytes.",
        "67108864",
    ),
    optional(
        S3_ENDPOINT,
        OptionKind::Text,
        None,
        "Where buckets are, if not in AWS: MinIO, Ceph and many others. `aws.endpoint` says the same. With `hadoop` the server has to \
         know puts on a condition (`If-None-Match`).",
        "http://localhost:9000",
    ),
    optional(
        PATH_STYLE,
        OptionKind::Boolean,
        None,
        "Whether the bucket stands in the path instead of the host; without it that is so for servers other than AWS.",
        "true",
    ),
    SINK_RATE_LIMIT,
    PARALLELISM,
];

const ALL: [OptionSpec; OWN + COUNT] = with_common(OWN_OPTIONS);

/// Those of the providers are for buckets.
pub(super) const OPTIONS: &[OptionSpec] = &ALL;

/// Where the table is.
#[derive(Clone)]
pub(super) enum Named {
    /// Its own folder.
    Folder(String),
    Server(Box<Place>),
}

/// What a table is declared as, checked.
pub(super) struct Checked {
    pub options: Options,
    pub named: Named,
    pub declared: Declared,
}

impl Checked {
    pub(super) fn of(table: &TableDefinition) -> Result<Checked, Vec<ConnectorError>> {
        let options = plain_options(table, OPTIONS)?;
        let mut errors = declared_problems(table);
        errors.extend(outbox_rows(table).err());
        if let Err(reason) = schema::schema_of(table.schema.fields()) {
            errors.push(option_problem(table, "connector", reason));
        }
        let is_rest = options.text(TYPE) == Some("rest");
        let named = if is_rest { server(table, &options) } else { folder(table, &options) };
        if !is_rest {
            for key in [URI, TOKEN, CREDENTIAL, TOKEN_SERVER, PREFIX, LOCAL] {
                if options.text(key).is_some() {
                    let message = format!("'{key}' is for the catalog 'rest'; leave it out");
                    errors.push(option_problem(table, key, message));
                }
            }
        }
        match options.text(WAREHOUSE).and_then(ObjectPlace::parse) {
            // Where the server has its tables it says later.
            _ if is_rest => errors.extend(crate::aws::options::problems(table, &options)),
            Some(Ok(place)) => errors.extend(problems(&place, table, &options)),
            _ => {}
        }
        let compression = match options.text(CODEC) {
            Some("uncompressed") => Compression::UNCOMPRESSED,
            Some("snappy") => Compression::SNAPPY,
            Some("gzip") => Compression::GZIP(GzipLevel::default()),
            _ => Compression::ZSTD(ZstdLevel::default()),
        };
        let row_group = options.integer(ROW_GROUP).and_then(|bytes| usize::try_from(bytes).ok());
        let codec = options.text(CODEC).unwrap_or("zstd");
        let declared = Declared {
            fields: table.schema.fields().clone(),
            partition_keys: table.partition_keys.clone(),
            creates: options.boolean(CREATE),
            compression,
            row_group_bytes: row_group.unwrap_or(128 << 20),
            properties: vec![(CODEC.to_string(), codec.to_string())],
        };
        match named {
            Ok(named) if errors.is_empty() => Ok(Checked { options, named, declared }),
            named => {
                errors.extend(named.err());
                Err(errors)
            }
        }
    }

    /// Where its files may be.
    pub(super) fn stores(&self, os: &Os) -> Stores {
        let stores = Stores::new(os, &self.options);
        match self.named {
            Named::Server(_) if !self.options.boolean(LOCAL) => stores.without_disk(LOCAL),
            _ => stores,
        }
    }

    pub(super) fn policy(&self) -> Policy {
        let interval_ms = self.options.duration_ms(INTERVAL).unwrap_or(60_000);
        let bytes = self.options.integer(FILE_SIZE).and_then(|bytes| u64::try_from(bytes).ok());
        Policy {
            bytes: bytes.unwrap_or(u64::MAX),
            interval_ms: i64::try_from(interval_ms).unwrap_or(i64::MAX),
        }
    }
}

/// The table's name there: as it is declared, without what stands before its last dot.
fn table_name(table: &TableDefinition, options: &Options) -> String {
    let own = table.name.rsplit('.').next().unwrap_or(&table.name);
    options.text(TABLE).unwrap_or(own).to_string()
}

fn missing(table: &TableDefinition, key: &str, example: &str) -> ConnectorError {
    option_problem(
        table,
        TYPE,
        format!("the option '{key}' is missing, which this catalog needs; for example '{key}' = '{example}'"),
    )
}

fn folder(table: &TableDefinition, options: &Options) -> Result<Named, ConnectorError> {
    let Some(warehouse) = options.text(WAREHOUSE) else {
        return Err(missing(table, WAREHOUSE, "s3://shop/warehouse"));
    };
    let root = Address::absolute(warehouse).map_err(|message| option_problem(table, WAREHOUSE, message))?;
    let database = options.text(DATABASE).unwrap_or_default();
    let name = table_name(table, options);
    for (key, part) in [(DATABASE, database), (TABLE, name.as_str())] {
        if part.is_empty() || part.starts_with('.') || part.contains(['/', '\\', '\0']) {
            let message = format!("'{}' is no name of a folder", part.escape_debug());
            return Err(option_problem(table, key, message));
        }
    }
    Ok(Named::Folder(below(&below(&root, database), &name)))
}

fn server(table: &TableDefinition, options: &Options) -> Result<Named, ConnectorError> {
    let given = |key: &str| options.text(key).filter(|text| !text.is_empty()).map(str::to_string);
    let url = |key: &str, text: &str| {
        // It may hold a password, and is not said.
        Url::parse(text).map_err(|_| {
            option_problem(table, key, format!("'{key}' has to be http://HOST:PORT or https://HOST"))
        })
    };
    let Some(uri) = given(URI) else { return Err(missing(table, URI, "http://localhost:8181")) };
    if given(TOKEN).is_some() && given(CREDENTIAL).is_some() {
        let message = format!("'{TOKEN}' and '{CREDENTIAL}' say the same; give one of them");
        return Err(option_problem(table, TOKEN, message));
    }
    let namespace: Vec<String> =
        options.text(DATABASE).unwrap_or_default().split('.').map(str::to_string).collect();
    if namespace.iter().any(String::is_empty) {
        return Err(option_problem(table, DATABASE, format!("'{DATABASE}' has a level without a name")));
    }
    let server = given(TOKEN_SERVER).map(|text| url(TOKEN_SERVER, &text)).transpose()?;
    let login = Login {
        token: given(TOKEN),
        credential: given(CREDENTIAL),
        scope: options.text(SCOPE).unwrap_or_default().to_string(),
        server,
    };
    Ok(Named::Server(Box::new(Place {
        url: url(URI, &uri)?,
        authorities: PathBuf::from(options.text(ROOT_CAS).unwrap_or_default()),
        timeout: Duration::from_millis(options.duration_ms(TIMEOUT).unwrap_or(30_000)),
        login,
        warehouse: given(WAREHOUSE),
        prefix: given(PREFIX),
        namespace,
        table: table_name(table, options),
    })))
}
