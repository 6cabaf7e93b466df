//! Installs the test suites of other projects: what they are built of comes from the ordinary package managers, and what is
//! built is kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{INSTALL_LIMIT, maven, once};
use crate::versions::{self, MavenSuite};
use crate::{places, process};

/// The folder with the tests of franz-go as one program, `kgo.test`.
pub fn franz_go_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("franz-go-{}", versions::FRANZ_GO)))
}

pub fn franz_go() -> Result<()> {
    once("the tests of franz-go", &franz_go_folder()?, |folder| {
        let sources = go_module("github.com/twmb/franz-go", versions::FRANZ_GO)?;
        let mut command = go();
        command.args(["test", "-c", "-o"]).arg(folder.join("kgo.test")).arg("./pkg/kgo");
        process::run(command.current_dir(sources), INSTALL_LIMIT)
    })
}

/// Downloads a module and returns the folder of its sources.
pub(super) fn go_module(module: &str, version: &str) -> Result<PathBuf> {
    let mut command = go();
    command
        .args(["mod", "download", "-json", &format!("{module}@v{version}")])
        .current_dir(std::env::temp_dir());
    let answer: Value = serde_json::from_str(&process::output(&mut command, INSTALL_LIMIT)?)?;
    let folder = answer["Dir"].as_str().with_context(|| format!("go did not say where {module} lies"))?;
    Ok(Path::new(folder).to_owned())
}

pub(super) fn go() -> Command {
    let mut command = Command::new("go");
    command.env("GOFLAGS", "-buildvcs=false");
    command
}

/// The folder with librdkafka, built with its tests, and with `bin` and `libs` as the tests expect them of a Kafka.
pub fn librdkafka_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("librdkafka-{}-with-tests", versions::LIBRDKAFKA)))
}

/// The sources of librdkafka, in which it is built.
pub fn librdkafka_sources() -> Result<PathBuf> {
    Ok(sources_in(&librdkafka_folder()?))
}

/// The folder with librdkafka as it is used: optimised, without tests; `librdkafka` in it leads to the sources.
pub fn librdkafka_client_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("librdkafka-{}", versions::LIBRDKAFKA)))
}

pub fn librdkafka_client() -> Result<()> {
    once("librdkafka, optimised", &librdkafka_client_folder()?, |folder| {
        build_librdkafka(folder, &["./configure --disable-gssapi", "make -j2 -C src librdkafka.so.1"])?;
        std::os::unix::fs::symlink(sources_in(folder), folder.join("librdkafka"))
            .with_context(|| format!("cannot link the sources in {}", folder.display()))
    })
}

fn sources_in(folder: &Path) -> PathBuf {
    folder.join("node_modules").join(versions::LIBRDKAFKA_CARRIER.0).join("deps/librdkafka")
}

/// Downloads the sources into the folder and builds them in these steps.
fn build_librdkafka(folder: &Path, steps: &[&str]) -> Result<()> {
    let (package, version) = versions::LIBRDKAFKA_CARRIER;
    let mut command = Command::new("npm");
    command.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    command.arg(folder).arg(format!("{package}@{version}"));
    process::run(&mut command, INSTALL_LIMIT)?;
    let log = std::fs::File::create(folder.join("build.log"))?;
    for step in steps {
        let mut command = Command::new("bash");
        command.args(["-c", step]).current_dir(sources_in(folder));
        command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        process::run(&mut command, INSTALL_LIMIT)
            .with_context(|| format!("building librdkafka; see {}", folder.join("build.log").display()))?;
    }
    Ok(())
}

pub fn librdkafka() -> Result<()> {
    once("librdkafka with its tests (built in some minutes)", &librdkafka_folder()?, |folder| {
        let unoptimised = "./configure --disable-gssapi --disable-optimization";
        build_librdkafka(folder, &[unoptimised, "make -j2 libs", "make -j2 -C tests build"])?;
        make_tools(&folder.join("bin"))?;
        let jars = super::kafka_jars()?;
        std::os::unix::fs::symlink(&jars, folder.join("libs"))
            .with_context(|| format!("cannot link {}", jars.display()))
    })
}

/// Kafka's command line tools by the names of its scripts.
fn make_tools(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (script, class) in [
        ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
        ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
        // The class is the first argument.
        ("kafka-run-class.sh", ""),
    ] {
        let path = folder.join(script);
        let java =
            "exec java -Xmx128m -XX:TieredStopAtLevel=1 -cp \"$CLASSPATH:$(dirname \"$0\")/../libs/*\"";
        std::fs::write(&path, format!("#!/bin/sh\n{java} {class} \"$@\"\n"))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}

/// The folder with the jars of a suite on the JVM, by its name in `tests/suites`.
pub fn maven_jars(suite: &str) -> Result<PathBuf> {
    Ok(maven_folder(suite)?.join("jars"))
}

fn maven_suite(name: &str) -> Result<&'static MavenSuite> {
    let found = versions::MAVEN_SUITES.iter().find(|suite| suite.name == name);
    found.with_context(|| format!("no versions of the suite {name}"))
}

fn maven_folder(name: &str) -> Result<PathBuf> {
    let suite = maven_suite(name)?;
    let others: String = suite.properties.iter().map(|(_, version)| format!("-{version}")).collect();
    Ok(places::peers()?.join(format!("{name}-{}{others}", suite.version)))
}

pub fn spark() -> Result<()> {
    from_maven("spark", "a download of 290 MB")
}

pub fn storm() -> Result<()> {
    from_maven("storm", "a download of 160 MB")
}

pub fn scala() -> Result<()> {
    from_maven("scala", "a download of 60 MB")
}

fn from_maven(name: &str, how_large: &str) -> Result<()> {
    once(&format!("the jars of the suite {name} ({how_large})"), &maven_folder(name)?, |folder| {
        let suite = maven_suite(name)?;
        let mut command = maven("copy-dependencies");
        command.arg("--file").arg(places::root().join("tests/suites").join(name).join("pom.xml"));
        command.arg(format!("-Dsuite.version={}", suite.version));
        command.args(suite.properties.iter().map(|(property, version)| format!("-D{property}={version}")));
        command.arg(format!("-DoutputDirectory={}", folder.join("jars").display()));
        process::run(&mut command, INSTALL_LIMIT)
    })
}

/// The folder with a Python that has kafka-python and what its tests need, and with its sources.
pub fn kafka_python_tests_folder() -> Result<PathBuf> {
    Ok(places::peers()?.join(format!("kafka-python-{}-tests", kafka_python_version()?)))
}

/// The sources of kafka-python with its tests.
pub fn kafka_python_tests_sources() -> Result<PathBuf> {
    Ok(kafka_python_tests_folder()?.join(format!("kafka_python-{}", kafka_python_version()?)))
}

fn kafka_python_version() -> Result<&'static str> {
    let found = versions::PYTHON_CLIENTS.iter().find(|(name, _)| *name == "kafka-python");
    found.map(|(_, version)| *version).context("no version of kafka-python")
}

pub fn kafka_python_tests() -> Result<()> {
    once("the tests of kafka-python", &kafka_python_tests_folder()?, |folder| {
        super::make_environment(folder)?;
        let pip = |arguments: &[&str], packages: &[String]| {
            let mut command = Command::new(folder.join("bin/python"));
            command.args(["-m", "pip"]).args(arguments).args(["--quiet", "--disable-pip-version-check"]);
            process::run(command.args(packages).current_dir(folder), INSTALL_LIMIT)
        };
        let packages = versions::PYTHON_CLIENTS.iter().filter(|(name, _)| !name.starts_with("confluent"));
        let packages = packages.chain(versions::PYTEST).map(|(name, version)| format!("{name}=={version}"));
        pip(&["install"], &packages.collect::<Vec<_>>())?;
        let package = format!("kafka-python=={}", kafka_python_version()?);
        pip(&["download", "--no-deps", "--no-binary", "kafka-python"], &[package])?;
        let archive = folder.join(format!("kafka_python-{}.tar.gz", kafka_python_version()?));
        process::run(Command::new("tar").arg("xzf").arg(archive).current_dir(folder), INSTALL_LIMIT)
    })
}
