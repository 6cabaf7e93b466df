//! `group`: list, describe with lag, reset with a dry run.

use super::topic::{connect, find_topic, print_json};
use crate::cli::{ClientArguments, Form, GroupVerb};
use crate::output::{parse_timestamp, print_table, thousands};
use anyhow::{Context, bail};
use kafka_client::{Client, OffsetSpec, OffsetToCommit};
use kafka_wire::error_code::ErrorCode;
use kafka_wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_wire::messages::{
    DescribeConfigsResponse, IncrementalAlterConfigsResponse, consumer_group_describe_response,
    describe_groups_response,
};
use serde_json::json;
use std::collections::BTreeMap;

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

/// What both kinds of groups have.
struct Described {
    state: String,
    members: Vec<Member>,
}

struct Member {
    id: String,
    client: String,
    host: String,
    /// Of a member of a consumer group.
    epoch: Option<i32>,
}

fn look_at(client: &mut Client, group: &str) -> anyhow::Result<Described> {
    if let Some(found) = client.describe_consumer_group(group)? {
        let member = |member: consumer_group_describe_response::Member| Member {
            id: member.member_id,
            client: member.client_id,
            host: member.client_host,
            epoch: Some(member.member_epoch),
        };
        let members = found.members.into_iter().map(member).collect();
        return Ok(Described { state: found.group_state, members });
    }
    let found = client.describe_groups(&[group])?.into_iter().next();
    let found = found.context("the node does not answer for the group")?;
    let member = |member: describe_groups_response::DescribedGroupMember| Member {
        id: member.member_id,
        client: member.client_id,
        host: member.client_host,
        epoch: None,
    };
    Ok(Described { state: found.group_state, members: found.members.into_iter().map(member).collect() })
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
    let committed: BTreeMap<i32, i64> = client
        .offset_fetch(group)?
        .into_iter()
        .filter(|committed| committed.topic == topic)
        .map(|committed| (committed.partition, committed.offset))
        .collect();
    let mut partitions: Vec<i32> =
        found.partitions.iter().map(|partition| partition.partition_index).collect();
    partitions.sort_unstable();
    let mut changes = Vec::new();
    for partition in partitions {
        let offset = resolve(&mut client, topic, partition, to)?;
        changes.push(OffsetToCommit { topic: topic.into(), partition, offset });
    }
    if !dry_run {
        client.offset_commit(group, &changes)?;
    }
    let before = |partition: &i32| committed.get(partition).copied();
    if arguments.output == Form::Json {
        return print_json(changes.iter().map(|change| {
            json!({"topic": topic, "partition": change.partition, "before": before(&change.partition),
                   "after": change.offset, "dry_run": dry_run})
        }));
    }
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            let old = before(&change.partition).map_or("none".into(), |offset| offset.to_string());
            vec![topic.to_string(), change.partition.to_string(), old, change.offset.to_string()]
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

/// `earliest`, `latest`, an offset (kept within the partition's bounds) or a time.
fn resolve(client: &mut Client, topic: &str, partition: i32, to: &str) -> anyhow::Result<i64> {
    let first = client.list_offsets(topic, partition, OffsetSpec::Earliest)?.offset;
    let end = client.list_offsets(topic, partition, OffsetSpec::Latest)?.offset;
    match to {
        "earliest" => return Ok(first),
        "latest" => return Ok(end),
        _ => {}
    }
    if let Ok(offset) = to.parse::<i64>() {
        return Ok(offset.clamp(first, end));
    }
    let time_ms = parse_timestamp(to).with_context(|| {
        format!("--to '{to}' is not earliest, latest, an offset or a time such as 2013-01-31T12:00:00Z")
    })?;
    let found = client.list_offsets(topic, partition, OffsetSpec::Timestamp(time_ms))?.offset;
    Ok(if found < 0 { end } else { found })
}
