//! Where the jobs are: on a node that answers, or in a data directory that no node serves.
//!
//! A node writes its addresses into `node.json` in its data directory. The file counts only while the directory's
//! lock is held, which is found out by trying to take it: what a crash left behind misleads nobody.

use crate::cli::{HTTP_ADDRESS, JobsArguments};
use crate::http_client::{HttpClient, segment};
use crate::job_view::JobView;
use crate::node::{self, Addresses};
use anyhow::{Context, bail};
use eventlog::LogError;
use os::Os;
use serde_json::json;
use std::path::{Path, PathBuf};

pub enum Jobs {
    /// The node that serves them.
    Node(HttpClient),
    /// What the journal says of a directory that nobody serves.
    Stopped(PathBuf, Vec<JobView>),
}

/// How long to wait between two looks at a savepoint that is being written.
const SAVEPOINT_POLL_MS: u64 = 50;

impl Jobs {
    pub fn open(arguments: &JobsArguments) -> anyhow::Result<Jobs> {
        let Some(data) = &arguments.data else {
            return Ok(Jobs::Node(HttpClient::new(
                arguments.http.as_deref().unwrap_or(HTTP_ADDRESS),
                arguments.command_config.as_deref(),
            )?));
        };
        if !data.join("log").is_dir() {
            bail!("{} is not a data directory; --data DIR of `run` or `start` made it", data.display());
        }
        match node::read_jobs(&Os::real(), data) {
            Ok(jobs) => Ok(Jobs::Stopped(data.clone(), jobs.iter().map(JobView::of_status).collect())),
            Err(error) => match error.downcast_ref() {
                Some(LogError::InUse { .. }) => {
                    Jobs::of_node(data, arguments.command_config.as_deref(), error)
                }
                _ => Err(error),
            },
        }
    }

    fn of_node(data: &Path, log_in: Option<&Path>, in_use: anyhow::Error) -> anyhow::Result<Jobs> {
        let Some(addresses) = Addresses::read(data) else { return Err(in_use) };
        let http = addresses.http.with_context(|| {
            format!("the node on {} serves no monitoring API: it runs with --http none", data.display())
        })?;
        Ok(Jobs::Node(HttpClient::new(&http, log_in)?))
    }

    pub fn list(&self) -> anyhow::Result<Vec<JobView>> {
        match self {
            Jobs::Stopped(_, jobs) => Ok(jobs.clone()),
            Jobs::Node(client) => {
                let overview = client.get("/jobs/overview")?;
                let jobs = overview["jobs"].as_array().context("the node does not answer with jobs")?;
                Ok(jobs.iter().map(JobView::of_json).collect())
            }
        }
    }

    /// The job of this name or id, as the list has it.
    pub fn find(&self, name_or_id: &str) -> anyhow::Result<JobView> {
        let jobs = self.list()?;
        let found = jobs.iter().find(|job| job.name == name_or_id);
        if let Some(job) = found.or_else(|| jobs.iter().find(|job| job.id.eq_ignore_ascii_case(name_or_id))) {
            return Ok(job.clone());
        }
        match base::nearest(name_or_id, jobs.iter().map(|job| job.name.as_str())) {
            Some(near) => bail!("there is no job '{name_or_id}'; did you mean '{near}'?"),
            None => {
                bail!("there is no job '{name_or_id}'; `eventwright job list` shows those that are there")
            }
        }
    }

    pub fn describe(&self, name_or_id: &str) -> anyhow::Result<JobView> {
        let job = self.find(name_or_id)?;
        let Jobs::Node(client) = self else { return Ok(job) };
        let path = format!("/jobs/{}", segment(&job.id));
        let details = JobView::of_json(&client.get(&path)?);
        Ok(details.with_exceptions(&client.get(&format!("{path}/exceptions"))?))
    }

    /// What the node says of a job.
    pub fn details(&self, name_or_id: &str) -> anyhow::Result<serde_json::Value> {
        let job = self.find(name_or_id)?;
        self.client(&job)?.get(&format!("/jobs/{}", segment(&job.id)))
    }

    /// What keeps rows from coming out of a job.
    pub fn why(&self, name_or_id: &str) -> anyhow::Result<serde_json::Value> {
        let job = self.find(name_or_id)?;
        self.client(&job)?.get(&format!("/jobs/{}/why", segment(&job.id)))
    }

    /// Asks a running job to stop.
    pub fn stop(&self, name_or_id: &str) -> anyhow::Result<JobView> {
        let job = self.find(name_or_id)?;
        self.client(&job)?.patch(&format!("/jobs/{}?mode=cancel", segment(&job.id)))?;
        Ok(job)
    }

    /// Ends a job for good that does not run.
    pub fn end(&self, name_or_id: &str) -> anyhow::Result<JobView> {
        let job = self.find(name_or_id)?;
        match self {
            Jobs::Node(client) => client.delete(&format!("/jobs/{}", segment(&job.id)))?,
            Jobs::Stopped(data, _) => bail!(
                "no node runs on {0}; `eventwright start --data {0}` starts one, which can end the job",
                data.display()
            ),
        };
        Ok(job)
    }

    /// Has a savepoint written below `target`, or where the node writes them, and waits for it; the folder that it became.
    pub fn savepoint(&self, name_or_id: &str, target: Option<&Path>) -> anyhow::Result<String> {
        let job = self.find(name_or_id)?;
        let client = self.client(&job)?;
        // The node may have been started in another directory than this command.
        let target =
            target.map(std::path::absolute).transpose().context("cannot tell where this directory is")?;
        let target = target
            .as_deref()
            .map(|target| target.to_str().context("the savepoint's folder must have a name in UTF-8"));
        let target = target.transpose()?;
        let path = format!("/jobs/{}/savepoints", segment(&job.id));
        let begun = client.post(&path, &json!({"target-directory": target, "cancel-job": false}))?;
        let id = begun["request-id"].as_str().context("the node does not say which request it is")?;
        let path = format!("{path}/{}", segment(id));
        loop {
            let answer = client.get(&path)?;
            if answer["status"]["id"] == "IN_PROGRESS" {
                std::thread::sleep(std::time::Duration::from_millis(SAVEPOINT_POLL_MS));
                continue;
            }
            if let Some(location) = answer["operation"]["location"].as_str() {
                return Ok(location.to_string());
            }
            let cause = &answer["operation"]["failure-cause"];
            let reason = cause["stack-trace"].as_str().or_else(|| cause["class"].as_str());
            bail!(
                "no savepoint of job '{}': {}",
                job.name,
                reason.unwrap_or("the node gives no reason").trim_end()
            );
        }
    }

    /// The node, if there is one.
    fn client(&self, job: &JobView) -> anyhow::Result<&HttpClient> {
        match self {
            Jobs::Node(client) => Ok(client),
            Jobs::Stopped(data, _) => bail!(
                "job '{}' does not run: it is {}, and no node runs on {}; `eventwright run FILE --data {}` takes it up",
                job.name,
                job.state,
                data.display(),
                data.display()
            ),
        }
    }
}
