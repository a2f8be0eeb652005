//! The version of the service, written into the build ids of its mappings (contract `ingest.md` section 1.8).

use flamelake_pprof::frame::Frame;

const REPOSITORY: &str = "service_repository";
const GIT_REF: &str = "service_git_ref";
const ROOT_PATH: &str = "service_root_path";

/// What the labels say about where the service's source lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceVersion<'a> {
    repository: &'a str,
    git_ref: &'a str,
    root_path: &'a str,
}

impl<'a> ServiceVersion<'a> {
    /// `None` if no label says anything.
    pub(crate) fn from_labels(labels: &'a [(String, String)]) -> Option<Self> {
        let get = |name: &str| labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
        let found = Self { repository: get(REPOSITORY), git_ref: get(GIT_REF), root_path: get(ROOT_PATH) };
        (found != Self::default()).then_some(found)
    }

    /// Replaces each mapping's build id by JSON that holds it.
    pub(crate) fn write_into(self, frame: &mut Frame) {
        for at in 0..frame.mappings.len() {
            let json = self.json(frame.strings.get(frame.mappings[at].build_id));
            frame.mappings[at].build_id = frame.strings.push(&json);
        }
    }

    /// Empty fields are left out.
    fn json(self, build_id: &str) -> String {
        let fields = [
            ("repository", self.repository),
            ("git_ref", self.git_ref),
            ("build_id", build_id),
            ("root_path", self.root_path),
        ];
        let fields: Vec<String> = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flamelake_testkit::FrameBuilder;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn build_ids_become_json() {
        let labels = labels(&[("service_git_ref", "v\"1"), ("service_repository", "https://r")]);
        let version = ServiceVersion::from_labels(&labels).unwrap();
        assert_eq!(version.json("abc"), r#"{"repository":"https://r","git_ref":"v\"1","build_id":"abc"}"#);
        let mut frame = FrameBuilder::cpu("s").folded("a 1").build();
        version.write_into(&mut frame);
        let build_id = frame.strings.get(frame.mappings[0].build_id);
        assert_eq!(build_id, r#"{"repository":"https://r","git_ref":"v\"1"}"#);
    }

    #[test]
    fn other_labels_say_nothing() {
        assert_eq!(ServiceVersion::from_labels(&labels(&[("service_name", "s"), ("service_git_ref", "")])), None);
    }
}
