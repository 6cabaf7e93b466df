//! Which traces are kept: what the parent says goes first, and of traces that begin here a part by the trace's id.

use crate::context::TraceId;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// A part from 0 to 1 of the traces.
    pub ratio: f64,
    /// Traces that began elsewhere are kept as it was decided there.
    pub follows_parent: bool,
}

impl Default for Sampler {
    /// OpenTelemetry's `parentbased_always_on`.
    fn default() -> Sampler {
        Sampler { ratio: 1.0, follows_parent: true }
    }
}

impl Sampler {
    /// By OpenTelemetry's names of samplers.
    pub fn named(name: &str, argument: Option<&str>) -> Result<Sampler, String> {
        let (kind, follows_parent) = match name.strip_prefix("parentbased_") {
            Some(kind) => (kind, true),
            None => (name, false),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => argument.map_or(Ok(1.0), Sampler::ratio_of)?,
            _ => {
                return Err(format!(
                    "there is no sampler '{name}'; there are always_on, always_off and traceidratio, each also with \
                     parentbased_ in front"
                ));
            }
        };
        Ok(Sampler { ratio, follows_parent })
    }

    pub fn ratio_of(text: &str) -> Result<f64, String> {
        let ratio = text.trim().parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.ok_or_else(|| {
            format!("'{text}' is no part of the traces: write a number from 0 to 1, such as 0.01")
        })
    }

    /// Whether a trace is kept. The same ids are kept as in other programs with the same ratio.
    pub fn keeps(&self, trace: TraceId, parent: Option<bool>) -> bool {
        if let Some(sampled) = parent.filter(|_| self.follows_parent) {
            return sampled;
        }
        if self.ratio >= 1.0 {
            return true;
        }
        let mut low = [0; 8];
        low.copy_from_slice(&trace.0[8..]);
        let bound = (self.ratio * (1u64 << 63) as f64) as u64;
        u64::from_be_bytes(low) >> 1 < bound
    }
}
