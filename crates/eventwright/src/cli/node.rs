//! A node: where it listens, what it may use.

use super::remote::RemoteArguments;
use clap::{Args, Parser};
use std::path::PathBuf;

/// The address on which Kafka clients are served unless told otherwise.
pub const KAFKA_ADDRESS: &str = "127.0.0.1:9092";

/// The address on which jobs can be looked at unless told otherwise; Flink's.
pub const HTTP_ADDRESS: &str = "127.0.0.1:8081";

/// The address on which views and topics can be queried unless told otherwise; PostgreSQL's.
pub const PG_ADDRESS: &str = "127.0.0.1:5432";

const PG_MEMORY: &str = "256mb";
const VIEWS_MEMORY: &str = "1gb";

#[derive(Args, Clone)]
pub struct NodeArguments {
    /// Address to serve Kafka clients on; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = KAFKA_ADDRESS)]
    pub kafka: String,
    /// Address to serve Flink's monitoring API and the schema registry on, with https:// in front for TLS, or `none` [default: 127.0.0.1:8081, or a free port if it is taken]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address to serve PostgreSQL's clients on, or `none` [default: 127.0.0.1:5432, or a free port if it is taken]
    #[arg(long, value_name = "ADDR")]
    pub pg: Option<String>,
    /// What all queries of PostgreSQL's clients may take in memory together, such as 512mb
    #[arg(long, value_name = "SIZE", default_value = PG_MEMORY)]
    pub pg_memory: String,
    /// Serve Kafka clients on an address other than loopback without TLS and log-in
    #[arg(long)]
    pub insecure: bool,
    /// The same for the HTTP address
    #[arg(long)]
    pub insecure_http: bool,
    /// The same for the PostgreSQL address
    #[arg(long)]
    pub insecure_pg: bool,
    /// Let jobs connect to link-local addresses and to those of the metadata services of clouds, which are refused otherwise
    #[arg(long)]
    pub allow_link_local: bool,
    /// Let jobs run commands of this machine, as tables with 'connector' = 'exec' do: whoever can start a job then is the node's user
    #[arg(long)]
    pub allow_exec: bool,
    /// Let tables with 'connector' = 'syslog' listen on addresses other than loopback without TLS and certificates of senders
    #[arg(long)]
    pub insecure_syslog: bool,
    /// A folder that savepoints may be written to, may be given several times; the first is where they go without a target [default: DATA/savepoints, which always may]
    #[arg(long, value_name = "DIR")]
    pub savepoints: Vec<PathBuf>,
    /// A file with the topics that webhooks write, and the secrets they sign with (docs/guide/http-events.md)
    #[arg(long, value_name = "FILE")]
    pub webhooks: Option<PathBuf>,
    /// What the topics begin with that OTLP over HTTP goes into: logs, metrics and spans (docs/guide/observability-in.md) [default: otlp_]
    #[arg(long, value_name = "PREFIX")]
    pub otlp_topic_prefix: Option<String>,
    /// How values of these topics are written: otlp_json or otlp_proto [default: otlp_json]
    #[arg(long, value_name = "NAME")]
    pub otlp_encoding: Option<String>,
    /// The topic that samples of Prometheus' remote-write go into [default: prometheus_samples]
    #[arg(long, value_name = "TOPIC")]
    pub prometheus_topic: Option<String>,
    /// What the rows of all materialized tables together may take in memory
    #[arg(long, value_name = "SIZE", default_value = VIEWS_MEMORY)]
    pub views_memory: String,
    /// An OpenTelemetry collector that spans are sent to (OTLP over HTTP), such as http://127.0.0.1:4318
    /// [default: OTEL_EXPORTER_OTLP_ENDPOINT of the environment, else no traces]
    #[arg(long, value_name = "URL")]
    pub trace_endpoint: Option<String>,
    /// A file with headers for the collector, one `name=value` on a line
    /// [default: OTEL_EXPORTER_OTLP_HEADERS of the environment]
    #[arg(long, value_name = "FILE")]
    pub trace_headers: Option<PathBuf>,
    /// What the node is called in traces [default: OTEL_SERVICE_NAME of the environment, else eventwright]
    #[arg(long, value_name = "NAME")]
    pub trace_service: Option<String>,
    /// Which part of the traces that begin here is kept, from 0 to 1 [default: OTEL_TRACES_SAMPLER of the environment, else 1]
    #[arg(long, value_name = "RATIO")]
    pub trace_sample_ratio: Option<String>,
    /// A file of the broker's settings under Kafka's names, one `key=value` on a line
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting of the broker; goes before the file, may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

impl NodeArguments {
    /// A node that only its own process asks: on loopback, on ports that are free, with HTTP there or not at all, all else as
    /// it is when nothing is said.
    pub fn of_own(http: &str) -> NodeArguments {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            node: NodeArguments,
        }
        Alone::parse_from(["", "--kafka", ANY_PORT, "--http", http, "--pg", ANY_PORT]).node
    }
}

/// A free port of this machine, which others cannot reach.
pub const ANY_PORT: &str = "127.0.0.1:0";

#[derive(Args)]
#[command(after_help = "Examples:
  eventwright start
  eventwright start --data ./data --kafka 127.0.0.1:0
  eventwright start --kafka 0.0.0.0:9092 --set security.protocol=SASL_SSL \\
    --set ssl.certificate.location=node.pem --set ssl.key.location=node.key
  eventwright start --remote s3://backups/orders
  eventwright start --remote s3://backups/orders --standby --data ./standby-data
  kcat -b 127.0.0.1:9092 -L")]
pub struct StartArguments {
    /// Where the log and the state lie
    #[arg(long, value_name = "DIR", default_value = "eventwright-data")]
    pub data: PathBuf,
    #[command(flatten)]
    pub node: NodeArguments,
    #[command(flatten)]
    pub remote: RemoteArguments,
    /// Keep what is durable of the data in this folder too, so that `verify` can cut the power
    #[arg(long, value_name = "DIR", hide = true)]
    pub shadow: Option<PathBuf>,
}
