//! The records of consumer groups: each change of the model in the broker's plain binary form.

use super::codec::{DecodeError, Reader, put_count, put_optional_text, put_text};
use crate::group::consumer::{
    About, Change, Classic, ConsumerGroup, Current, Member, MemberState, Owned, Partitions,
};
use crate::group::{ClientIdentity, Protocol};
use base::TopicId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const EPOCHS: u8 = 1;
const PATTERN: u8 = 2;
const ABOUT: u8 = 3;
const TARGET: u8 = 4;
const CURRENT: u8 = 5;
const LEFT: u8 = 6;

pub(super) fn put_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Epochs { epoch, target_epoch, topics_hash } => {
            out.push(EPOCHS);
            put_epochs(out, *epoch, *target_epoch, *topics_hash);
        }
        Change::Pattern { pattern, topics } => {
            out.push(PATTERN);
            put_text(out, pattern);
            out.push(u8::from(topics.is_some()));
            if let Some(topics) = topics {
                put_texts(out, topics);
            }
        }
        Change::About { member, about } => {
            out.push(ABOUT);
            put_text(out, member);
            put_about(out, about);
        }
        Change::Target { member, target } => {
            out.push(TARGET);
            put_text(out, member);
            put_partitions(out, target);
        }
        Change::Current { member, current } => {
            out.push(CURRENT);
            put_text(out, member);
            put_current(out, current);
        }
        Change::Left { member } => {
            out.push(LEFT);
            put_text(out, member);
        }
    }
}

pub(super) fn change(reader: &mut Reader<'_>) -> Result<Change, DecodeError> {
    Ok(match reader.u8()? {
        EPOCHS => {
            let (epoch, target_epoch, topics_hash) = epochs(reader)?;
            Change::Epochs { epoch, target_epoch, topics_hash }
        }
        PATTERN => {
            let pattern = reader.text()?;
            let topics = if reader.flag()? { Some(Arc::new(texts(reader)?)) } else { None };
            Change::Pattern { pattern, topics }
        }
        ABOUT => Change::About { member: reader.text()?, about: Arc::new(about(reader)?) },
        TARGET => Change::Target { member: reader.text()?, target: Arc::new(partitions(reader)?) },
        CURRENT => Change::Current { member: reader.text()?, current: Arc::new(current(reader)?) },
        LEFT => Change::Left { member: reader.text()? },
        _ => return Err(DecodeError("an unknown kind of change to a consumer group")),
    })
}

pub(super) fn put_group(out: &mut Vec<u8>, group: &ConsumerGroup) {
    put_epochs(out, group.epoch, group.target_epoch, group.topics_hash);
    put_count(out, group.patterns.len());
    for (pattern, topics) in &group.patterns {
        put_text(out, pattern);
        put_texts(out, topics);
    }
    put_count(out, group.members.len());
    for (id, member) in &group.members {
        put_text(out, id);
        put_about(out, &member.about);
        put_partitions(out, &member.target);
        put_current(out, &member.current);
    }
}

pub(super) fn group(reader: &mut Reader<'_>) -> Result<ConsumerGroup, DecodeError> {
    let (epoch, target_epoch, topics_hash) = epochs(reader)?;
    let mut patterns = BTreeMap::new();
    for _ in 0..reader.count(8)? {
        patterns.insert(reader.text()?, Arc::new(texts(reader)?));
    }
    let mut members = BTreeMap::new();
    for _ in 0..reader.count(40)? {
        let id = reader.text()?;
        let about = Arc::new(about(reader)?);
        let target = Arc::new(partitions(reader)?);
        members.insert(id, Member { about, target, current: Arc::new(current(reader)?) });
    }
    Ok(ConsumerGroup { epoch, target_epoch, topics_hash, patterns, members })
}

fn put_epochs(out: &mut Vec<u8>, epoch: i32, target_epoch: i32, topics_hash: u64) {
    out.extend_from_slice(&epoch.to_be_bytes());
    out.extend_from_slice(&target_epoch.to_be_bytes());
    out.extend_from_slice(&topics_hash.to_be_bytes());
}

fn epochs(reader: &mut Reader<'_>) -> Result<(i32, i32, u64), DecodeError> {
    Ok((reader.i32()?, reader.i32()?, reader.u64()?))
}

fn put_texts(out: &mut Vec<u8>, texts: &BTreeSet<String>) {
    put_count(out, texts.len());
    texts.iter().for_each(|text| put_text(out, text));
}

fn texts(reader: &mut Reader<'_>) -> Result<BTreeSet<String>, DecodeError> {
    (0..reader.count(4)?).map(|_| reader.text()).collect()
}

fn put_about(out: &mut Vec<u8>, about: &About) {
    put_optional_text(out, about.instance_id.as_deref());
    put_optional_text(out, about.rack_id.as_deref());
    put_text(out, &about.client.client_id);
    put_text(out, &about.client.client_host);
    out.extend_from_slice(&about.rebalance_timeout_ms.to_be_bytes());
    put_texts(out, &about.topics);
    put_optional_text(out, about.pattern.as_deref());
    put_optional_text(out, about.assignor.as_deref());
    out.push(u8::from(about.classic.is_some()));
    if let Some(classic) = &about.classic {
        out.extend_from_slice(&classic.session_timeout_ms.to_be_bytes());
        put_count(out, classic.protocols.len());
        for protocol in &classic.protocols {
            put_text(out, &protocol.name);
            put_count(out, protocol.metadata.len());
            out.extend_from_slice(&protocol.metadata);
        }
    }
}

fn about(reader: &mut Reader<'_>) -> Result<About, DecodeError> {
    Ok(About {
        instance_id: reader.optional_text()?,
        rack_id: reader.optional_text()?,
        client: ClientIdentity { client_id: reader.text()?, client_host: reader.text()? },
        rebalance_timeout_ms: reader.i32()?,
        topics: texts(reader)?,
        pattern: reader.optional_text()?,
        assignor: reader.optional_text()?,
        classic: if reader.flag()? { Some(classic(reader)?) } else { None },
    })
}

fn classic(reader: &mut Reader<'_>) -> Result<Classic, DecodeError> {
    let session_timeout_ms = reader.i32()?;
    let protocols = (0..reader.count(8)?)
        .map(|_| Ok(Protocol { name: reader.text()?, metadata: Bytes::from(reader.bytes()?) }))
        .collect::<Result<_, DecodeError>>()?;
    Ok(Classic { session_timeout_ms, protocols })
}

fn put_partitions(out: &mut Vec<u8>, partitions: &Partitions) {
    put_count(out, partitions.len());
    for (topic, partitions) in partitions {
        out.extend_from_slice(&topic.0);
        put_count(out, partitions.len());
        partitions.iter().for_each(|partition| out.extend_from_slice(&partition.to_be_bytes()));
    }
}

fn partitions(reader: &mut Reader<'_>) -> Result<Partitions, DecodeError> {
    let mut found = Partitions::new();
    for _ in 0..reader.count(20)? {
        let topic = TopicId(reader.uuid()?);
        let partitions = (0..reader.count(4)?).map(|_| reader.i32()).collect::<Result<_, _>>()?;
        found.insert(topic, partitions);
    }
    Ok(found)
}

fn put_current(out: &mut Vec<u8>, current: &Current) {
    out.extend_from_slice(&current.epoch.to_be_bytes());
    out.extend_from_slice(&current.previous_epoch.to_be_bytes());
    out.push(match current.state {
        MemberState::Stable => 0,
        MemberState::Unrevoked => 1,
        MemberState::Unreleased => 2,
    });
    put_owned(out, &current.assigned);
    put_owned(out, &current.revoking);
}

fn current(reader: &mut Reader<'_>) -> Result<Current, DecodeError> {
    Ok(Current {
        epoch: reader.i32()?,
        previous_epoch: reader.i32()?,
        state: match reader.u8()? {
            0 => MemberState::Stable,
            1 => MemberState::Unrevoked,
            2 => MemberState::Unreleased,
            _ => return Err(DecodeError("an unknown state of a member")),
        },
        assigned: owned(reader)?,
        revoking: owned(reader)?,
    })
}

fn put_owned(out: &mut Vec<u8>, owned: &Owned) {
    put_count(out, owned.len());
    for (topic, partitions) in owned {
        out.extend_from_slice(&topic.0);
        put_count(out, partitions.len());
        for (partition, epoch) in partitions {
            out.extend_from_slice(&partition.to_be_bytes());
            out.extend_from_slice(&epoch.to_be_bytes());
        }
    }
}

fn owned(reader: &mut Reader<'_>) -> Result<Owned, DecodeError> {
    let mut found = Owned::new();
    for _ in 0..reader.count(20)? {
        let topic = TopicId(reader.uuid()?);
        let partitions = (0..reader.count(8)?)
            .map(|_| Ok((reader.i32()?, reader.i32()?)))
            .collect::<Result<_, DecodeError>>()?;
        found.insert(topic, partitions);
    }
    Ok(found)
}
