//! A file's two images, and what a power cut leaves of the difference.

use crate::random::SplitMix;

/// The unit that a real disk writes whole.
const SECTOR_BYTES: u64 = 512;

#[derive(Default, Clone)]
pub(super) struct Inode {
    pub(super) visible: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

#[derive(Clone)]
pub(super) enum Change {
    Write { position: u64, bytes: Vec<u8> },
    Length(u64),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => {
                let start = *position as usize;
                if image.len() < start + bytes.len() {
                    image.resize(start + bytes.len(), 0);
                }
                image[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Change::Length(length) => image.resize(*length as usize, 0),
        }
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.visible);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn lose_power(&mut self, random: &mut SplitMix) {
        let mut changes = std::mem::take(&mut self.unsynced);
        match random.below(5) {
            // Nothing reached the disk.
            0 => changes.clear(),
            // Everything did.
            1 => {}
            // A prefix did, and the last of it is torn.
            2 => {
                changes.truncate(random.below(changes.len() as u64 + 1) as usize);
                let torn = changes.pop();
                for change in changes.drain(..) {
                    change.apply(&mut self.durable);
                }
                if let Some(torn) = torn {
                    tear(&torn, &mut self.durable, random, 2, 0);
                }
            }
            // Any sectors, in any order.
            _ => {
                for index in (1..changes.len()).rev() {
                    changes.swap(index, random.below(index as u64 + 1) as usize);
                }
                let lost_one_in = 1 + random.below(6);
                let zero_one_in = if random.one_in(2) { 4 } else { 0 };
                for change in changes.drain(..) {
                    tear(&change, &mut self.durable, random, lost_one_in, zero_one_in);
                }
            }
        }
        for change in changes {
            change.apply(&mut self.durable);
        }
        self.visible.clone_from(&self.durable);
    }
}

/// Applies some of the sectors of a change. Where the file did not reach before, a sector may become zeros.
fn tear(change: &Change, image: &mut Vec<u8>, random: &mut SplitMix, lost_one_in: u64, zero_one_in: u64) {
    let Change::Write { position, bytes } = change else {
        if random.one_in(2) {
            change.apply(image);
        }
        return;
    };
    let end = position + bytes.len() as u64;
    let mut at = *position;
    while at < end {
        let sector_end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if !random.one_in(lost_one_in) {
            let part = &bytes[(at - position) as usize..(sector_end - position) as usize];
            let is_new = at as usize >= image.len();
            let zeros = is_new && zero_one_in > 0 && random.one_in(zero_one_in);
            let part = if zeros { vec![0; part.len()] } else { part.to_vec() };
            Change::Write { position: at, bytes: part }.apply(image);
        }
        at = sector_end;
    }
}
