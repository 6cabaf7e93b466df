//! Installs the peers: the real clients and servers that tests and benches use.
//!
//! Each peer has a folder that carries its version, with a file `installed` written last; a peer whose file is there is
//! left alone. Everything comes from the ordinary package managers, is said before it is done, and is never
//! tried twice in silence.

mod suites;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{places, process, versions};

pub use suites::{
    franz_go_folder, kafka_python_tests_folder, kafka_python_tests_sources, librdkafka_folder,
    librdkafka_sources, maven_jars,
};

/// Downloads of some hundred megabytes on a slow line.
const INSTALL_LIMIT: Duration = Duration::from_secs(1200);

/// A build of a large program beside other work.
const BUILD_LIMIT: Duration = Duration::from_secs(2400);

type Install = fn() -> Result<()>;

/// What can be installed, by name.
pub const PEERS: &[(&str, Install)] = &[
    ("debian", debian),
    ("python", python),
    ("aws", aws),
    ("duckdb", duckdb),
    ("lakes", lakes),
    ("benthos", benthos),
    ("debezium", debezium),
    ("node", node),
    ("asyncapi", asyncapi),
    ("mysql", mysql),
    ("browser", browser),
    ("kafka", kafka),
    ("nats", nats),
    ("amqp", amqp),
    ("opensearch", opensearch),
    ("clickhouse", clickhouse),
    ("mongodb", mongodb),
    ("jaeger", jaeger),
    ("opentelemetry", opentelemetry),
    ("streams", streams),
    ("pubsub", pubsub),
    ("clouds", clouds),
    ("brokers", brokers),
    ("pgjdbc", pgjdbc),
    ("flink", flink),
    ("flink-formats", flink_formats),
    ("apicurio", apicurio),
    ("franz-go", suites::franz_go),
    ("librdkafka", suites::librdkafka),
    ("kafka-python-tests", suites::kafka_python_tests),
    ("spark", suites::spark),
    ("storm", suites::storm),
    ("scala", suites::scala),
];

/// Installs the named peers, or all of them.
pub fn install(names: &[String]) -> Result<()> {
    for name in names {
        if !PEERS.iter().any(|(peer, _)| peer == name) {
            let known: Vec<&str> = PEERS.iter().map(|(peer, _)| *peer).collect();
            bail!("there is no peer={name}; there are {}", known.join(", "));
        }
    }
    // Stages run at a time, and need the same peers.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, install) in PEERS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            install().with_context(|| format!("cannot install peer={name}"))?;
        }
    }
    Ok(())
}

/// Where something lies that programs outside of xtask use.
pub fn folder(name: &str) -> Result<PathBuf> {
    match name {
        "librdkafka" => Ok(suites::librdkafka_client_folder()?.join("librdkafka")),
        "nats-server" => nats_folder(),
        "benthos" => benthos_folder(),
        "debezium" => debezium_folder(),
        "duckdb" => duckdb_folder(),
        _ => bail!(
            "there is no folder of peer={name}; there are librdkafka, nats-server, benthos, debezium, duckdb"
        ),
    }
}

/// The Python that has the clients.
pub fn python_program() -> Result<PathBuf> {
    Ok(python_folder()?.join("bin").join("python"))
}

/// The folder whose `node_modules` has the clients.
pub fn node_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("node-clients-{}", fingerprint(versions::NODE_CLIENTS))))
}

/// The folder whose `node_modules` has AsyncAPI's parser.
pub fn asyncapi_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("asyncapi-tools-{}", fingerprint(versions::ASYNCAPI_TOOLS))))
}

/// The folder whose `node_modules` has what drives the browser.
pub fn browser_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("browser-tools-{}", fingerprint(versions::BROWSER_TOOLS))))
}

/// The Python that has moto.
pub fn moto_program() -> Result<PathBuf> {
    Ok(moto_folder()?.join("bin").join("python"))
}

/// The Python that has DuckDB.
pub fn duckdb_program() -> Result<PathBuf> {
    Ok(duckdb_folder()?.join("bin").join("python"))
}

/// The Python that has OpenTelemetry's SDK.
pub fn opentelemetry_program() -> Result<PathBuf> {
    Ok(opentelemetry_folder()?.join("bin").join("python"))
}

/// The Python that has servers of streams.
pub fn streams_program() -> Result<PathBuf> {
    Ok(streams_folder()?.join("bin").join("python"))
}

/// The folder with the jars of ElasticMQ.
pub fn elasticmq_jars() -> Result<PathBuf> {
    Ok(elasticmq_folder()?.join("jars"))
}

/// The folder with the jars of OpenSearch.
pub fn opensearch_jars() -> Result<PathBuf> {
    Ok(opensearch_folder()?.join("jars"))
}

/// The Python that has ClickHouse's engine.
pub fn chdb_program() -> Result<PathBuf> {
    Ok(chdb_folder()?.join("bin").join("python"))
}

/// The folder with the jars of mongo-java-server.
pub fn mongo_java_server_jars() -> Result<PathBuf> {
    Ok(mongo_java_server_folder()?.join("jars"))
}

/// FerretDB's program.
pub fn ferretdb_program() -> Result<PathBuf> {
    Ok(ferretdb_folder()?.join("ferretdb"))
}

/// The Python that has MongoDB's client.
pub fn pymongo_program() -> Result<PathBuf> {
    Ok(pymongo_folder()?.join("bin").join("python"))
}

/// The folder with the jars of Kafka, its tools and its client.
pub fn kafka_jars() -> Result<PathBuf> {
    Ok(kafka_folder()?.join("jars"))
}

/// The folder with PostgreSQL's driver for Java.
pub fn pgjdbc_jars() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("pgjdbc-{}", versions::PGJDBC)).join("jars"))
}

/// The class path of Flink with its Kafka connector.
pub fn flink_class_path() -> Result<String> {
    let folder = flink_folder()?;
    let libraries = flink_libraries(&folder)?;
    Ok(format!("{}/*:{}/*", libraries.display(), folder.join("jars").display()))
}

/// What Flink's class path needs besides for the formats that it does not bring.
pub fn flink_formats_jars() -> Result<PathBuf> {
    Ok(flink_formats_folder()?.join("jars"))
}

/// The compiler of `.proto` files that fits Flink's format.
pub fn protoc_program() -> Result<PathBuf> {
    Ok(flink_formats_folder()?.join("protoc"))
}

/// The folder with the program of the other schema registry.
pub fn apicurio_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("apicurio-{}", versions::APICURIO)))
}

fn flink_formats_folder() -> Result<PathBuf> {
    let pairs: Vec<(&str, &str)> =
        versions::FLINK_FORMATS.iter().map(|jar| (*jar, versions::PROTOC)).collect();
    Ok(places::peers()?.join(format!("flink-formats-{}", fingerprint(&pairs))))
}

fn python_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("python-clients-{}", fingerprint(versions::PYTHON_CLIENTS))))
}

fn kafka_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("kafka-{}", versions::KAFKA)))
}

fn flink_folder() -> Result<PathBuf> {
    let name = format!("flink-{}-kafka-{}", versions::FLINK, versions::FLINK_KAFKA_CONNECTOR);
    Ok(places::peers()?.join(name))
}

fn debian() -> Result<()> {
    debian_packages(versions::DEBIAN_PACKAGES)
}

/// The servers that the bench of brokers runs beside our node.
fn brokers() -> Result<()> {
    debian_packages(versions::BROKER_PACKAGES)?;
    nats()?;
    suites::librdkafka_client()
}

/// A server with its Python client.
fn nats() -> Result<()> {
    once("nats with its python client", &nats_folder()?, |folder| {
        make_environment(folder)?;
        let mut command = Command::new(folder.join("bin").join("python"));
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command.args(versions::NATS.iter().map(|(name, version)| format!("{name}=={version}")));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// The Python that has the client of NATS.
pub fn nats_python() -> Result<PathBuf> {
    Ok(nats_folder()?.join("bin").join("python"))
}

fn nats_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("nats-{}", fingerprint(versions::NATS))))
}

/// Artemis and ActiveMQ Classic.
fn amqp() -> Result<()> {
    once("artemis (a download of 50 MB)", &artemis_home()?, |folder| {
        let mut command = maven("unpack");
        command
            .arg(format!("-Dartifact=org.apache.activemq:apache-artemis:{}:zip:bin", versions::ARTEMIS))
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .current_dir(folder);
        process::run(&mut command, INSTALL_LIMIT)
    })?;
    once("activemq classic", &activemq_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("tests/amqp/pom.xml"))
            .arg(format!("-Dactivemq.version={}", versions::ACTIVEMQ))
            .args(versions::ACTIVEMQ_PARTS.iter().map(|(name, version)| format!("-D{name}={version}")))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// The folder with Artemis's `lib`.
pub fn artemis_folder() -> Result<PathBuf> {
    Ok(artemis_home()?.join(format!("apache-artemis-{}", versions::ARTEMIS)))
}

/// The folder with the jars of ActiveMQ Classic.
pub fn activemq_jars() -> Result<PathBuf> {
    Ok(activemq_folder()?.join("jars"))
}

fn artemis_home() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("artemis-{}", versions::ARTEMIS)))
}

fn activemq_folder() -> Result<PathBuf> {
    let parts = fingerprint(versions::ACTIVEMQ_PARTS);
    Ok(places::peers()?.join(format!("activemq-{}-stomp-{parts}", versions::ACTIVEMQ)))
}

/// Built from its module, which brings no program: some five minutes of a processor.
fn jaeger() -> Result<()> {
    const PROGRAM: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";
    once("jaeger, built from its Go module (some minutes)", &jaeger_folder()?, |folder| {
        std::fs::write(folder.join("go.mod"), "module peer\n\ngo 1.24\n")?;
        let tool = format!("{PROGRAM}@{}", versions::JAEGER);
        let program = folder.join("bin").join("jaeger").display().to_string();
        for arguments in [
            vec!["get", "-tool", &tool],
            vec!["build", "-trimpath", "-ldflags=-s -w", "-o", &program, PROGRAM],
        ] {
            process::run(suites::go().args(arguments).current_dir(folder), BUILD_LIMIT)?;
        }
        Ok(())
    })
}

/// The engine of Benthos as a program, built from its Go module with the components in `benches`.
fn benthos() -> Result<()> {
    once("benthos, built from its Go module (some minutes)", &benthos_folder()?, |folder| {
        for name in BENTHOS_SOURCES {
            std::fs::copy(places::root().join(BENTHOS).join(name), folder.join(name))?;
        }
        let build = ["build", "-trimpath", "-o", "benthos", "."];
        process::run(suites::go().args(build).current_dir(folder), BUILD_LIMIT)
    })
}

const BENTHOS: &str = "benches/src/bin/pipes/benthos";
const BENTHOS_SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];

fn benthos_folder() -> Result<PathBuf> {
    let read = |name: &str| {
        let path = places::root().join(BENTHOS).join(name);
        std::fs::read_to_string(&path).with_context(|| format!("no file={}", path.display()))
    };
    let sources = BENTHOS_SOURCES.map(read).into_iter().collect::<Result<Vec<_>>>()?;
    let sources: Vec<(&str, &str)> = sources.iter().map(|text| (text.as_str(), "")).collect();
    Ok(places::peers()?.join(format!("benthos-{}", fingerprint(&sources))))
}

/// Debezium's engine with its connector for PostgreSQL.
fn debezium() -> Result<()> {
    once("debezium (a download of 60 MB)", &debezium_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("benches/src/bin/pipes/debezium/pom.xml"))
            .arg(format!("-Ddebezium.version={}", versions::DEBEZIUM))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

fn debezium_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("debezium-{}", versions::DEBEZIUM)))
}

/// The folder with Jaeger's program.
pub fn jaeger_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("jaeger-{}", versions::JAEGER)))
}

/// Google's fake behind our program of `tests/pubsub`.
fn pubsub() -> Result<()> {
    once("pub/sub, built from its Go module (some minutes)", &pubsub_folder()?, |folder| {
        let mut command = suites::go();
        command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder.join("server")).arg(".");
        process::run(command.current_dir(places::root().join(PUBSUB_SOURCES)), BUILD_LIMIT)
    })
}

const PUBSUB_SOURCES: &str = "tests/pubsub";

/// The program that stands in for Pub/Sub.
pub fn pubsub_program() -> Result<PathBuf> {
    Ok(pubsub_folder()?.join("server"))
}

/// Another program has another folder.
fn pubsub_folder() -> Result<PathBuf> {
    let sources = places::root().join(PUBSUB_SOURCES).join("main.go");
    let text = std::fs::read_to_string(&sources).with_context(|| format!("file={}", sources.display()))?;
    Ok(places::peers()?.join(format!("pubsub-{}-{}", versions::PUBSUB, fingerprint(&[(&text, "")]))))
}

/// Servers of the buckets of Google and of Azure.
fn clouds() -> Result<()> {
    once("fake-gcs-server, built from its Go module (some minutes)", &gcs_folder()?, |folder| {
        let mut command = suites::go();
        command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder.join("server")).arg(".");
        process::run(command.current_dir(places::root().join(GCS_SOURCES)), BUILD_LIMIT)
    })?;
    node_packages("azurite (a download of 80 MB)", &azurite_package()?, versions::AZURITE)
}

const GCS_SOURCES: &str = "tests/gcs";

/// The program that stands in for Google Cloud Storage.
pub fn gcs_program() -> Result<PathBuf> {
    Ok(gcs_folder()?.join("server"))
}

/// Another program has another folder.
fn gcs_folder() -> Result<PathBuf> {
    let sources = places::root().join(GCS_SOURCES).join("main.go");
    let text = std::fs::read_to_string(&sources).with_context(|| format!("file={}", sources.display()))?;
    Ok(places::peers()?.join(format!("gcs-{}-{}", versions::FAKE_GCS, fingerprint(&[(&text, "")]))))
}

/// The folder of Azurite's package.
pub fn azurite_folder() -> Result<PathBuf> {
    Ok(azurite_package()?.join("node_modules").join("azurite"))
}

fn azurite_package() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("azurite-{}", fingerprint(versions::AZURITE))))
}

fn debian_packages(packages: &'static [(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(program, _)| !process::exists(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        say("debian packages: already there");
        return Ok(());
    }
    let wanted = missing.join(" ");
    if !process::exists("apt-get") {
        bail!(
            "packages={wanted} are missing and there is no apt-get; install them with this system's package manager"
        );
    }
    let is_root = rustix::process::getuid().is_root();
    if !is_root && !process::exists("sudo") {
        bail!("packages={wanted} are missing and this is not root; run: apt-get install {wanted}");
    }
    say(&format!("debian packages: installing {wanted}"));
    for arguments in [vec!["update"], [vec!["install", "--yes", "--no-install-recommends"], missing].concat()]
    {
        let mut command = if is_root { Command::new("apt-get") } else { Command::new("sudo") };
        if !is_root {
            command.args(["--non-interactive", "apt-get"]);
        }
        // Another one of this machine may be at it.
        command.args(["-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3"]);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        process::run(&mut command, INSTALL_LIMIT)?;
    }
    Ok(())
}

fn moto_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("moto-{}", fingerprint(versions::MOTO))))
}

fn duckdb_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("duckdb-{}", fingerprint(versions::DUCKDB))))
}

fn opentelemetry_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("opentelemetry-{}", fingerprint(versions::OPENTELEMETRY))))
}

fn elasticmq_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("elasticmq-{}", versions::ELASTICMQ)))
}

fn opensearch_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("opensearch-{}", versions::OPENSEARCH)))
}

fn mongo_java_server_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("mongo-java-server-{}", versions::MONGO_JAVA_SERVER)))
}

fn ferretdb_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("ferretdb-{}", versions::FERRETDB)))
}

fn pymongo_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("mongodb-client-{}", fingerprint(versions::PYMONGO))))
}

fn chdb_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("clickhouse-{}", fingerprint(versions::CLICKHOUSE))))
}

fn opensearch() -> Result<()> {
    once("opensearch (a download of 60 MB)", &opensearch_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("tests/opensearch/pom.xml"))
            .arg(format!("-Dopensearch.version={}", versions::OPENSEARCH))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// The engine in a package of Python.
fn clickhouse() -> Result<()> {
    python_packages("clickhouse (a download of 130 MB)", &chdb_folder()?, versions::CLICKHOUSE)
}

/// Two servers of MongoDB's protocol, and the vendor's client.
fn mongodb() -> Result<()> {
    python_packages("mongodb's python client", &pymongo_folder()?, versions::PYMONGO)?;
    once("mongo-java-server", &mongo_java_server_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("tests/mongodb/pom.xml"))
            .arg(format!("-Dmongo-java-server.version={}", versions::MONGO_JAVA_SERVER))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })?;
    once("ferretdb, built from its Go module (some minutes)", &ferretdb_folder()?, |folder| {
        // Its sources want to know their version, which nobody writes to the module.
        let module = suites::go_module("github.com/FerretDB/FerretDB", versions::FERRETDB)?;
        let sources = folder.join("sources");
        process::run(Command::new("cp").arg("-r").arg(module).arg(&sources), INSTALL_LIMIT)?;
        process::run(Command::new("chmod").args(["-R", "u+w"]).arg(&sources), INSTALL_LIMIT)?;
        std::fs::write(sources.join("build/version/version.txt"), format!("v{}\n", versions::FERRETDB))?;
        let mut command = suites::go();
        command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder.join("ferretdb"));
        process::run(command.arg("./cmd/ferretdb").current_dir(&sources), BUILD_LIMIT)?;
        Ok(std::fs::remove_dir_all(&sources)?)
    })
}

fn python() -> Result<()> {
    python_packages("python clients", &python_folder()?, versions::PYTHON_CLIENTS)
}

fn opentelemetry() -> Result<()> {
    python_packages("opentelemetry's sdk", &opentelemetry_folder()?, versions::OPENTELEMETRY)
}

fn streams() -> Result<()> {
    python_packages("servers of streams", &streams_folder()?, versions::STREAMS)
}

fn streams_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("streams-{}", fingerprint(versions::STREAMS))))
}

/// What stands in for AWS.
fn aws() -> Result<()> {
    python_packages("moto", &moto_folder()?, versions::MOTO)?;
    once("elasticmq", &elasticmq_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("tests/aws/pom.xml"))
            .arg(format!("-Delasticmq.version={}", versions::ELASTICMQ))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// What reads files of columns as a warehouse does.
fn duckdb() -> Result<()> {
    python_packages("duckdb", &duckdb_folder()?, versions::DUCKDB)
}

/// What reads tables of lakes, and a catalog of Iceberg's.
fn lakes() -> Result<()> {
    python_packages("readers of lakes (a download of 100 MB)", &lakes_folder()?, versions::LAKES)?;
    once("iceberg's catalog", &iceberg_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("tests/lakes/pom.xml"))
            .arg(format!("-Diceberg.version={}", versions::ICEBERG))
            .arg(format!("-Dsqlite.version={}", versions::SQLITE_JDBC))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// The Python that reads tables of lakes.
pub fn lakes_program() -> Result<PathBuf> {
    Ok(lakes_folder()?.join("bin").join("python"))
}

/// The folder with the jars of Iceberg.
pub fn iceberg_jars() -> Result<PathBuf> {
    Ok(iceberg_folder()?.join("jars"))
}

fn lakes_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("lakes-{}", fingerprint(versions::LAKES))))
}

fn iceberg_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("iceberg-{}", versions::ICEBERG)))
}

/// Packages of Python in a folder of their own.
fn python_packages(what: &str, folder: &Path, packages: &[(&str, &str)]) -> Result<()> {
    let packages: Vec<String> = packages.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    once(what, folder, |folder| {
        make_environment(folder)?;
        let mut command = Command::new(folder.join("bin").join("python"));
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(&packages);
        process::run(&mut command, INSTALL_LIMIT)
    })
}

fn node() -> Result<()> {
    node_packages("node clients", &node_folder()?, versions::NODE_CLIENTS)
}

fn mysql() -> Result<()> {
    node_packages("a mysql (a download of 30 MB)", &mysql_package()?, versions::MYSQL)
}

/// The folder with MySQL's program.
pub fn mysql_folder() -> Result<PathBuf> {
    let [(package, _)] = versions::MYSQL else { bail!("MySQL is one package") };
    Ok(mysql_package()?.join("node_modules").join(package).join("server"))
}

fn mysql_package() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("mysql-{}", fingerprint(versions::MYSQL))))
}

fn asyncapi() -> Result<()> {
    node_packages("asyncapi's parser", &asyncapi_folder()?, versions::ASYNCAPI_TOOLS)
}

fn browser() -> Result<()> {
    debian_packages(versions::BROWSER_PACKAGES)?;
    node_packages("what drives the browser", &browser_folder()?, versions::BROWSER_TOOLS)
}

fn node_packages(what: &str, folder: &Path, wanted: &[(&str, &str)]) -> Result<()> {
    let packages: Vec<String> = wanted.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    once(what, folder, |folder| {
        let mut command = Command::new("npm");
        command
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .args(&packages);
        process::run(&mut command, INSTALL_LIMIT)
    })
}

fn kafka() -> Result<()> {
    once("kafka with its java client and tools", &kafka_folder()?, |folder| {
        let mut command = maven("copy-dependencies");
        command
            .arg("--file")
            .arg(places::root().join("tests/clients/java/pom.xml"))
            .arg(format!("-Dkafka.version={}", versions::KAFKA))
            .arg(format!("-Dlog4j.version={}", versions::LOG4J_BINDING))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

fn pgjdbc() -> Result<()> {
    let folder = places::peers()?.join(format!("pgjdbc-{}", versions::PGJDBC));
    once("PostgreSQL's driver for java", &folder, |folder| {
        let mut command = maven("copy");
        command
            .arg(format!("-Dartifact=org.postgresql:postgresql:{}", versions::PGJDBC))
            .arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

fn flink() -> Result<()> {
    once("flink with its kafka connector (a download of 340 MB)", &flink_folder()?, |folder| {
        let environment = folder.join("python");
        make_environment(&environment)?;
        let mut command = Command::new(environment.join("bin").join("python"));
        command
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-cache-dir",
                "--disable-pip-version-check",
            ])
            .arg(format!("apache-flink-libraries=={}", versions::FLINK));
        process::run(&mut command, INSTALL_LIMIT)?;
        let connector =
            format!("org.apache.flink:flink-sql-connector-kafka:{}", versions::FLINK_KAFKA_CONNECTOR);
        copy_artifact(&connector, &folder.join("jars"), folder)?;
        flink_libraries(folder).map(drop)
    })
}

fn flink_formats() -> Result<()> {
    once("flink's formats (a download of 70 MB)", &flink_formats_folder()?, |folder| {
        let jars = folder.join("jars");
        for artifact in versions::FLINK_FORMATS {
            copy_artifact(artifact, &jars, folder)?;
        }
        let architecture = if cfg!(target_arch = "aarch64") { "linux-aarch_64" } else { "linux-x86_64" };
        let name = format!("com.google.protobuf:protoc:{}:exe:{architecture}", versions::PROTOC);
        let downloaded = folder.join("download");
        copy_artifact(&name, &downloaded, folder)?;
        for entry in std::fs::read_dir(&downloaded)? {
            let program = folder.join("protoc");
            std::fs::rename(entry?.path(), &program)?;
            std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        Ok(())
    })
}

fn apicurio() -> Result<()> {
    once("the schema registry apicurio (a download of 130 MB)", &apicurio_folder()?, |folder| {
        let mut command = maven("unpack");
        command
            .arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{}:zip:all", versions::APICURIO))
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .current_dir(folder);
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// Copies one artifact of Maven Central into a folder.
fn copy_artifact(artifact: &str, into: &Path, folder: &Path) -> Result<()> {
    let mut command = maven("copy");
    command
        .arg(format!("-Dartifact={artifact}"))
        .arg(format!("-DoutputDirectory={}", into.display()))
        .current_dir(folder);
    process::run(&mut command, INSTALL_LIMIT)
}

/// Flink's jars inside the Python package, whose path carries the Python's version.
fn flink_libraries(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("python").join("lib");
    let entries = std::fs::read_dir(&library)
        .with_context(|| format!("no folder={}; run: cargo xtask peers install flink", library.display()))?;
    for entry in entries {
        let candidate = entry?.path().join("site-packages/pyflink/lib");
        if candidate.is_dir() {
            return Ok(candidate);
        }
    }
    bail!("no pyflink/lib under folder={}; remove {} and install again", library.display(), folder.display())
}

fn make_environment(folder: &Path) -> Result<()> {
    process::run(Command::new("python3").args(["-m", "venv"]).arg(folder), INSTALL_LIMIT)
}

fn maven(goal: &str) -> Command {
    let mut command = Command::new("mvn");
    // Without the option Maven ends even its quiet output with bare colour codes.
    command.args(["--quiet", "--batch-mode", "-Dstyle.color=never"]).arg(format!(
        "org.apache.maven.plugins:maven-dependency-plugin:{}:{goal}",
        versions::MAVEN_DEPENDENCY_PLUGIN
    ));
    command.stdout(Stdio::null());
    command
}

/// Installs into the folder unless that was done before; a half-made folder is made anew.
fn once(what: &str, folder: &Path, install: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let marker = folder.join("installed");
    if marker.is_file() {
        say(&format!("{what}: already in {}", folder.display()));
        return Ok(());
    }
    say(&format!("{what}: installing into {}", folder.display()));
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove half-made folder={}", folder.display()))?;
    }
    std::fs::create_dir_all(folder)?;
    install(folder)?;
    std::fs::write(&marker, "")?;
    Ok(())
}

/// A short name for a list of versions: a changed list gets another folder.
fn fingerprint(packages: &[(&str, &str)]) -> String {
    // FNV-1a, which never changes from one compiler to the next.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in packages.iter().flat_map(|(name, version)| name.bytes().chain(version.bytes())) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{:08x}", hash >> 32)
}

fn say(text: &str) {
    eprintln!("peers: {text}");
}
