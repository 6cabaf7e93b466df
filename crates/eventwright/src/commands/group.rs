//! `group`: list, describe with lag, reset with a dry run.

use super::topic::{connect, find_topic, partitions_of, print_json};
use crate::cli::{ClientArguments, Form, GroupVerb};
use crate::output::{parse_timestamp, print_table, thousands};
use anyhow::{Context, bail};
use kafka_client::{Client, GroupLook, OffsetSpec, ResetTo};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_wire::messages::{DescribeConfigsResponse, IncrementalAlterConfigsResponse};
use serde_json::json;

pub fn group(verb: &GroupVerb) -> anyhow::Result<()> {
    match verb {
        GroupVerb::List { client } => list(client),
        GroupVerb::Configure { group, sets, unsets, client } => configure(group, sets, unsets, client),
        GroupVerb::Describe { group, client } => describe(group, client),
        GroupVerb::Reset { group, topic, to, dry_run, client } => reset(group, topic, to, *dry_run, client),
    }
}

fn list(arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut groups = connect(arguments)?.list_groups()?;
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    match arguments.output {
        Form::Json => print_json(groups.iter().map(|group| {
            json!({"group": group.group_id, "state": group.group_state, "type": group.group_type,
                           "protocol": group.protocol_type})
        })),
        Form::Text => {
            let rows: Vec<Vec<String>> = groups
                .into_iter()
                .map(|group| vec![group.group_id, group.group_state, group.group_type, group.protocol_type])
                .collect();
            Ok(print_table(&mut std::io::stdout(), &["GROUP", "STATE", "TYPE", "PROTOCOL"], &rows)?)
        }
    }
}

/// A partition on which a group has committed an offset.
struct Lag {
    topic: String,
    partition: i32,
    offset: i64,
    end: i64,
}

impl Lag {
    fn records(&self) -> i64 {
        (self.end - self.offset).max(0)
    }
}

fn look_at(client: &mut Client, group: &str) -> anyhow::Result<GroupLook> {
    client.look_at_group(group)?.context("the node does not answer for the group")
}

fn describe(group: &str, arguments: &ClientArguments) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let described = look_at(&mut client, group)?;
    let mut lags = Vec::new();
    for committed in client.offset_fetch(group)? {
        let end = client.list_offsets(&committed.topic, committed.partition, OffsetSpec::Latest)?.offset;
        lags.push(Lag {
            topic: committed.topic,
            partition: committed.partition,
            offset: committed.offset,
            end,
        });
    }
    lags.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    if lags.is_empty() && described.members.is_empty() {
        bail!("there is no group '{group}'; `eventwright group list` shows those that are there");
    }
    if arguments.output == Form::Json {
        let members: Vec<_> = described
            .members
            .iter()
            .map(|member| {
                let mut shown = json!({"member": member.id, "client": member.client, "host": member.host});
                if let Some(epoch) = member.epoch {
                    shown["epoch"] = epoch.into();
                }
                shown
            })
            .collect();
        let offsets: Vec<_> = lags
            .iter()
            .map(|lag| {
                json!({"topic": lag.topic, "partition": lag.partition, "offset": lag.offset,
                       "end_offset": lag.end, "lag": lag.records()})
            })
            .collect();
        let state = &described.state;
        println!("{}", json!({"group": group, "state": state, "members": members, "offsets": offsets}));
        return Ok(());
    }
    println!("group {group}: {}, {} members", described.state, described.members.len());
    let rows: Vec<Vec<String>> = lags
        .iter()
        .map(|lag| {
            let numbers = [i64::from(lag.partition), lag.offset, lag.end].map(|number| number.to_string());
            let mut row = vec![lag.topic.clone()];
            row.extend(numbers);
            row.push(thousands(lag.records() as u64));
            row
        })
        .collect();
    print_table(&mut std::io::stdout(), &["TOPIC", "PARTITION", "OFFSET", "END OFFSET", "LAG"], &rows)?;
    Ok(())
}

fn reset(
    group: &str,
    topic: &str,
    to: &str,
    dry_run: bool,
    arguments: &ClientArguments,
) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let members = look_at(&mut client, group)?.members.len();
    if members > 0 && !dry_run {
        bail!("group '{group}' has {members} members; stop its consumers first, or look with --dry-run");
    }
    let found = find_topic(&mut client, topic)?;
    let changes = client.plan_reset(group, topic, &partitions_of(&found), reset_to(to)?)?;
    if !dry_run {
        client.reset(group, topic, &changes)?;
    }
    if arguments.output == Form::Json {
        return print_json(changes.iter().map(|change| {
            json!({"topic": topic, "partition": change.partition, "before": change.before,
                   "after": change.after, "dry_run": dry_run})
        }));
    }
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            let old = change.before.map_or("none".into(), |offset| offset.to_string());
            vec![topic.to_string(), change.partition.to_string(), old, change.after.to_string()]
        })
        .collect();
    print_table(&mut std::io::stdout(), &["TOPIC", "PARTITION", "BEFORE", "AFTER"], &rows)?;
    if dry_run {
        eprintln!("nothing was changed: leave out --dry-run to do it");
    }
    Ok(())
}

/// Kafka's number of the configurations of groups.
const GROUP_RESOURCE: i8 = 32;

fn configure(
    group: &str,
    sets: &[String],
    unsets: &[String],
    arguments: &ClientArguments,
) -> anyhow::Result<()> {
    let mut client = connect(arguments)?;
    let mut configs = Vec::new();
    for set in sets {
        let (name, value) = set.split_once('=').with_context(|| format!("'{set}' is not KEY=VALUE"))?;
        configs.push(AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()) });
    }
    configs.extend(unsets.iter().map(|name| AlterableConfig {
        name: name.clone(),
        config_operation: 1,
        value: None,
    }));
    if !configs.is_empty() {
        let resource =
            AlterConfigsResource { resource_type: GROUP_RESOURCE, resource_name: group.into(), configs };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let answer: IncrementalAlterConfigsResponse = client.call(&request)?;
        if let Some(refused) = answer.responses.iter().find(|response| response.error_code != 0) {
            let code = ErrorCode::from_number(refused.error_code).map(ErrorCode::name);
            bail!(
                "the configuration of group '{group}' is not changed: {}",
                refused.error_message.as_deref().or(code).unwrap_or("the node says no reason")
            );
        }
    }
    let resource = DescribeConfigsResource {
        resource_type: GROUP_RESOURCE,
        resource_name: group.into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer: DescribeConfigsResponse = client.call(&request)?;
    let described = answer.results.into_iter().next().context("the node does not answer for the group")?;
    if described.error_code != 0 {
        bail!("{}", described.error_message.unwrap_or_else(|| "the group may not be described".into()));
    }
    // Kafka's number for what is set for the group itself.
    let is_set = |source: i8| source == 8;
    match arguments.output {
        Form::Json => print_json(described.configs.iter().map(
            |config| json!({"key": config.name, "value": config.value, "set": is_set(config.config_source)}),
        )),
        Form::Text => {
            let rows: Vec<Vec<String>> = described
                .configs
                .into_iter()
                .map(|config| {
                    let set = if is_set(config.config_source) { "group" } else { "default" };
                    vec![config.name, config.value.unwrap_or_default(), set.into()]
                })
                .collect();
            Ok(print_table(&mut std::io::stdout(), &["KEY", "VALUE", "SET BY"], &rows)?)
        }
    }
}

/// `earliest`, `latest`, an offset or a time.
fn reset_to(to: &str) -> anyhow::Result<ResetTo> {
    match to {
        "earliest" => return Ok(ResetTo::Earliest),
        "latest" => return Ok(ResetTo::Latest),
        _ => {}
    }
    if let Ok(offset) = to.parse::<i64>() {
        return Ok(ResetTo::Offset(offset));
    }
    let time_ms = parse_timestamp(to).with_context(|| {
        format!("--to '{to}' is not earliest, latest, an offset or a time such as 2013-01-31T12:00:00Z")
    })?;
    Ok(ResetTo::Time(time_ms))
}
