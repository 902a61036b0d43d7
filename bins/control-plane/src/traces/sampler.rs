//! Which traces are exported: `OTEL_TRACES_SAMPLER` and its argument.

use super::context::TraceContext;

/// A sampler by the name that OpenTelemetry gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a caller's decision outweighs the ratio.
    follows_parent: bool,
    /// The part of all traces, 0 to 1.
    ratio: f64,
}

impl Sampler {
    /// The sampler of this name, by default `parentbased_always_on`; `None` for a name or an argument that is unknown.
    pub fn new(name: Option<&str>, argument: Option<&str>) -> Option<Self> {
        let name = name.unwrap_or("parentbased_always_on");
        let (follows_parent, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => argument.map_or(Ok(1.0), str::parse).ok()?,
            _ => return None,
        };
        (0.0..=1.0).contains(&ratio).then_some(Self {
            follows_parent,
            ratio,
        })
    }

    /// The context of a new span; `None` where the system has no randomness.
    pub fn decide(&self, parent: Option<TraceContext>) -> Option<TraceContext> {
        let mut span_id = [0; 8];
        getrandom::fill(&mut span_id).ok()?;
        let mut trace_id = [0; 16];
        match parent {
            Some(parent) => trace_id = parent.trace_id,
            None => getrandom::fill(&mut trace_id).ok()?,
        }
        let sampled = match parent {
            Some(parent) if self.follows_parent => parent.sampled,
            _ => self.samples(trace_id),
        };
        Some(TraceContext {
            trace_id,
            span_id,
            sampled,
        })
    }

    /// The same for all spans of a trace.
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        let [.., a, b, c, d] = trace_id;
        let part = f64::from(u32::from_be_bytes([a, b, c, d])) / 4_294_967_296.0;
        part < self.ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(name: &str, argument: Option<&str>) -> Sampler {
        Sampler::new(Some(name), argument).unwrap()
    }

    #[test]
    fn a_parents_decision_holds_where_it_is_asked_for() {
        let parent = |sampled| {
            Some(TraceContext {
                trace_id: [1; 16],
                span_id: [2; 8],
                sampled,
            })
        };
        let sampled = |sampler: Sampler, parent| sampler.decide(parent).unwrap().sampled;
        let default = Sampler::new(None, None).unwrap();
        assert!(sampled(default, None) && sampled(default, parent(true)));
        assert!(!sampled(default, parent(false)));
        assert!(sampled(sampler("always_on", None), parent(false)));
        assert!(!sampled(sampler("always_off", None), parent(true)));
        let span = default.decide(parent(true)).unwrap();
        assert_eq!(span.trace_id, [1; 16]);
        assert_ne!(span.span_id, [2; 8]);
    }

    #[test]
    fn a_ratio_takes_that_part_of_all_traces() {
        let tenth = sampler("traceidratio", Some("0.1"));
        let taken = (0..2000).filter(|_| tenth.decide(None).unwrap().sampled);
        let taken = taken.count();
        assert!((100..320).contains(&taken), "{taken}");
    }

    #[test]
    fn unknown_samplers_are_none() {
        for (name, argument) in [
            ("", None),
            ("jaeger_remote", None),
            ("traceidratio", Some("2")),
        ] {
            assert_eq!(Sampler::new(Some(name), argument), None, "{name}");
        }
    }
}
