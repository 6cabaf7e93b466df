//! Groups of every kind: lists, members, how far they are behind, and setting where they go on.

use super::{Answered, Asked, Console, Refused};
use broker::group::GroupType;
use broker::security::{Operation, ResourceType};
use hyper::StatusCode;
use kafka_client::{OffsetChange, ResetTo};
use kafka_wire::messages::{ShareGroupDescribeRequest, ShareGroupDescribeResponse};
use serde_json::{Value, json};

const GROUPS_MAX: usize = 5_000;

pub(super) fn list(console: &Console, asked: &Asked<'_>) -> Answered {
    let filter = asked.value("filter").unwrap_or_default().to_lowercase();
    let mut groups = console.kafka(asked.visitor)?.list_groups()?;
    let all = groups.len();
    groups.retain(|group| group.group_id.to_lowercase().contains(&filter));
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    let now_ms = console.os.clock.now_ms();
    let row = |group: &kafka_wire::messages::list_groups_response::ListedGroup| {
        let name = &group.group_id;
        let (mut lag, mut behind_ms, mut topics) = (0, 0, Vec::new());
        // What lies in topics that are hidden from who asks is told of neither by name nor by number.
        let may_see = |topic: &str| asked.visitor.may(Operation::Describe, ResourceType::Topic, topic);
        for one in console.broker.group_lag(name).into_iter().filter(|one| may_see(&one.topic)) {
            lag += one.lag;
            behind_ms = behind_ms.max(console.broker.behind_ms(&one, now_ms));
            topics.push(one.topic);
        }
        let shares = console.broker.share_views(Some(name)).into_iter();
        for (_, one) in shares.filter(|(_, one)| may_see(&one.topic)) {
            lag += i64::try_from(one.lag()).unwrap_or(i64::MAX);
            topics.push(one.topic);
        }
        topics.sort_unstable();
        topics.dedup();
        json!({
            "name": name,
            "type": group.group_type,
            "state": group.group_state,
            "lag": lag,
            "behind_ms": behind_ms,
            "topics": topics,
        })
    };
    let rows: Vec<Value> = groups.iter().take(GROUPS_MAX).map(row).collect();
    Ok(json!({ "groups": rows, "found": groups.len(), "all": all }))
}

pub(super) fn one(console: &Console, name: &str, asked: &Asked<'_>) -> Answered {
    asked.permit(Operation::Describe, ResourceType::Group, name)?;
    let missing = || Refused { status: StatusCode::NOT_FOUND, words: format!("there is no group '{name}'") };
    let known = console.broker.groups().into_iter().find(|group| group.name == name).ok_or_else(missing)?;
    let mut client = console.kafka(asked.visitor)?;
    let members: Vec<Value> = match known.group_type {
        GroupType::Share => {
            let request =
                ShareGroupDescribeRequest { group_ids: vec![name.to_owned()], ..Default::default() };
            let answer: ShareGroupDescribeResponse = client.call(&request)?;
            let members = answer.groups.into_iter().flat_map(|group| group.members);
            members
                .map(|member| {
                    json!({
                        "id": member.member_id,
                        "client": member.client_id,
                        "host": member.client_host,
                        "epoch": member.member_epoch,
                    })
                })
                .collect()
        }
        GroupType::Classic | GroupType::Consumer => {
            let look = client.look_at_group(name)?;
            let members = look.into_iter().flat_map(|look| look.members);
            members
                .map(|member| {
                    json!({
                        "id": member.id,
                        "client": member.client,
                        "host": member.host,
                        "epoch": member.epoch,
                    })
                })
                .collect()
        }
    };
    let now_ms = console.os.clock.now_ms();
    let may_see = |topic: &str| asked.visitor.may(Operation::Describe, ResourceType::Topic, topic);
    let lags: Vec<Value> = console
        .broker
        .group_lag(name)
        .into_iter()
        .filter(|lag| may_see(&lag.topic))
        .map(|lag| {
            json!({
                "topic": lag.topic,
                "partition": lag.partition,
                "committed": lag.committed_offset,
                "first": lag.log_start,
                "end": lag.high_watermark,
                "lag": lag.lag,
                "behind_ms": console.broker.behind_ms(&lag, now_ms),
            })
        })
        .collect();
    let shares = console.broker.share_views(Some(name)).into_iter().filter(|(_, view)| may_see(&view.topic));
    let shares: Vec<Value> = shares
        .map(|(_, view)| {
            json!({
                "topic": view.topic,
                "partition": view.partition,
                "start": view.start,
                "end": view.end,
                "high_watermark": view.high_watermark,
                "locked": view.locked,
                "held_back": view.held_back,
                "dead": view.dead,
                "unfinished": view.unfinished,
                "lag": view.lag(),
            })
        })
        .collect();
    Ok(json!({
        "name": name,
        "type": known.group_type.name(),
        "state": known.state,
        "protocol": known.protocol_type,
        "members": members,
        "lags": lags,
        "shares": shares,
        "may": { "reset": asked.visitor.may(Operation::Read, ResourceType::Group, name) },
    }))
}

fn reset_to(given: &Value) -> Result<ResetTo, Refused> {
    let number = |name: &str| given[name].as_i64();
    match (given["to"].as_str(), number("offset"), number("time")) {
        (Some("earliest"), ..) => Ok(ResetTo::Earliest),
        (Some("latest"), ..) => Ok(ResetTo::Latest),
        (Some("offset"), Some(offset), _) => Ok(ResetTo::Offset(offset)),
        (Some("time"), _, Some(time)) => Ok(ResetTo::Time(time)),
        _ => Err(Refused::bad("'to' is earliest, latest, offset (with 'offset'), or time (with 'time')")),
    }
}

/// Shows what a reset changes, and with `confirm` does it; what was shown may have moved on, so that the answer is shown too.
pub(super) fn reset(console: &Console, name: &str, asked: &Asked<'_>) -> Answered {
    let given = asked.json()?;
    let topic = given["topic"].as_str().ok_or_else(|| Refused::bad("the request has no 'topic'"))?;
    asked.permit(Operation::Describe, ResourceType::Topic, topic)?;
    let confirms = given["confirm"] == true;
    let found =
        console.log.topic(topic).ok_or_else(|| Refused::bad(format!("there is no topic '{topic}'")))?;
    let count = i32::try_from(found.partitions.len()).unwrap_or(i32::MAX);
    let mut client = console.kafka(asked.visitor)?;
    let members = client.look_at_group(name)?.map_or(0, |look| look.members.len());
    if members > 0 && confirms {
        let words = format!("group '{name}' has {members} members; stop its consumers first");
        return Err(Refused { status: StatusCode::CONFLICT, words });
    }
    let partitions: Vec<i32> = (0..count).collect();
    let changes = client.plan_reset(name, topic, &partitions, reset_to(&given)?)?;
    if confirms {
        client.reset(name, topic, &changes)?;
    }
    let change = |change: &OffsetChange| json!({ "partition": change.partition, "before": change.before, "after": change.after });
    Ok(
        json!({ "changes": changes.iter().map(change).collect::<Vec<_>>(), "done": confirms, "members": members }),
    )
}
