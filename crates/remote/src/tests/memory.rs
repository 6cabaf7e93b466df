//! A store in memory. Whatever goes wrong follows from a seed.

use crate::store::{Listed, Place, ReadPart, Store, StoreError};
use base::ErrorKind;
use os::sim::SplitMix;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Shared {
    objects: BTreeMap<String, Vec<u8>>,
    /// Puts on the condition whose sender was told that they failed; they may still arrive.
    late: Vec<(String, Vec<u8>)>,
    /// One call in so many goes wrong; 0 = none.
    faults: u64,
    is_away: bool,
    keeps_no_conditions: bool,
    /// A put of a key that begins so fails, after so many that do not.
    failing_put: Option<(String, u64)>,
    /// Called before each part of an object.
    on_part: Option<Arc<dyn Fn() + Send + Sync>>,
    random: u64,
}

#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Shared>>);

impl Memory {
    pub fn new(seed: u64) -> Memory {
        let memory = Memory::default();
        memory.0.lock().unwrap().random = seed;
        memory
    }

    pub fn fail_one_in(&self, calls: u64) {
        self.0.lock().unwrap().faults = calls;
    }

    pub fn go_away(&self, is_away: bool) {
        self.0.lock().unwrap().is_away = is_away;
    }

    /// One put of a key that begins so fails, after so many that do not.
    pub fn fail_put_of(&self, prefix: &str, after: u64) {
        self.0.lock().unwrap().failing_put = Some((prefix.to_string(), after));
    }

    pub fn on_part(&self, call: impl Fn() + Send + Sync + 'static) {
        self.0.lock().unwrap().on_part = Some(Arc::new(call));
    }

    pub fn keep_no_conditions(&self) {
        self.0.lock().unwrap().keeps_no_conditions = true;
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let shared = self.0.lock().unwrap();
        shared.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn damage(&self, key: &str) {
        let mut shared = self.0.lock().unwrap();
        let object = shared.objects.get_mut(key).unwrap();
        let last = object.len() - 1;
        object[last] ^= 1;
    }

    /// What was on its way comes in.
    pub fn let_late_puts_arrive(&self) {
        let mut shared = self.0.lock().unwrap();
        for (key, bytes) in std::mem::take(&mut shared.late) {
            shared.objects.entry(key).or_insert(bytes);
        }
    }

    pub fn handle(&self) -> Box<dyn Store> {
        Box::new(self.clone())
    }
}

fn away() -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "the store does not answer")
}

impl Shared {
    fn roll(&mut self, of: u64) -> u64 {
        let mut random = SplitMix(self.random);
        self.random = random.next_u64();
        random.next_u64() % of
    }

    fn call(&mut self) -> Result<(), StoreError> {
        let of = self.faults;
        let fails = self.is_away || (of > 0 && self.roll(of) == 0);
        if fails { Err(away()) } else { Ok(()) }
    }
}

impl Place for Memory {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(self.handle())
    }

    fn name(&self) -> String {
        "memory".into()
    }
}

impl Store for Memory {
    fn put_new(&mut self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let mut shared = self.0.lock().unwrap();
        if shared.is_away {
            return Err(away());
        }
        let of = shared.faults;
        let fault = if of > 0 && shared.roll(of) == 0 { shared.roll(3) } else { 9 };
        if fault == 0 {
            return Err(away());
        }
        if fault == 1 {
            shared.late.push((key.to_string(), bytes.to_vec()));
            return Err(away());
        }
        let is_new = !shared.objects.contains_key(key);
        if is_new || shared.keeps_no_conditions {
            shared.objects.insert(key.to_string(), bytes.to_vec());
        }
        // The answer is lost.
        if fault == 2 { Err(away()) } else { Ok(is_new || shared.keeps_no_conditions) }
    }

    fn put(&mut self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut shared = self.0.lock().unwrap();
        shared.call()?;
        if let Some((prefix, after)) = &mut shared.failing_put
            && key.starts_with(prefix.as_str())
        {
            if *after == 0 {
                shared.failing_put = None;
                return Err(away());
            }
            *after -= 1;
        }
        shared.objects.insert(key.to_string(), bytes.to_vec());
        Ok(())
    }

    fn put_parts(&mut self, key: &str, bytes: u64, read: ReadPart<'_>) -> Result<(), StoreError> {
        let mut whole = Vec::new();
        let on_part = self.0.lock().unwrap().on_part.clone();
        while (whole.len() as u64) < bytes {
            if let Some(call) = &on_part {
                call();
            }
            let length = (bytes - whole.len() as u64).min(1000) as usize;
            whole.extend(read(whole.len() as u64, length)?);
        }
        self.put(key, &whole)
    }

    fn get(&mut self, key: &str, from: u64, bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut shared = self.0.lock().unwrap();
        shared.call()?;
        Ok(shared.objects.get(key).map(|object| {
            let from = (from as usize).min(object.len());
            object[from..(from + bytes as usize).min(object.len())].to_vec()
        }))
    }

    fn list(&mut self, prefix: &str, behind: &str, count: usize) -> Result<(Vec<Listed>, bool), StoreError> {
        let mut shared = self.0.lock().unwrap();
        shared.call()?;
        // Short pages, so that there are several.
        let count = count.min(7);
        let all = shared.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > behind);
        let mut found: Vec<Listed> = all
            .take(count + 1)
            .map(|(key, object)| Listed { key: key.clone(), bytes: object.len() as u64 })
            .collect();
        let more = found.len() > count;
        found.truncate(count);
        Ok((found, more))
    }

    fn delete(&mut self, key: &str) -> Result<(), StoreError> {
        let mut shared = self.0.lock().unwrap();
        shared.call()?;
        shared.objects.remove(key);
        Ok(())
    }
}
