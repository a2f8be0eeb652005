//! The parameter `query` of the legacy routes: `profile_type_id{selector}`.

use flamelake_model::selector::{MatchOp, Matcher, Selector};
use flamelake_model::{ErrorCode, ProfileType, StatusError, label_name};

/// A type and the selector without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LegacyQuery {
    pub(super) profile_type: ProfileType,
    /// Parses back to the matchers that are left.
    pub(super) selector: String,
}

impl LegacyQuery {
    /// `parameter` names the text in errors.
    pub(super) fn parse(parameter: &str, text: &str) -> Result<Self, StatusError> {
        if text.is_empty() {
            return Err(StatusError::invalid_argument(format!("{parameter:?} is required")));
        }
        let (id, selector) = split(parameter, text)?;
        let Some(id) = id else {
            let why = "it must begin with a profile type: process_cpu:cpu:nanoseconds:cpu:nanoseconds{…}";
            return Err(failed(parameter, why));
        };
        let profile_type = ProfileType::parse(&id).map_err(|error| failed(parameter, &error.to_string()))?;
        Ok(Self { profile_type, selector })
    }
}

/// The id of the type if one is given, and the selector without it. An empty text is `{}`.
pub(super) fn split(parameter: &str, text: &str) -> Result<(Option<String>, String), StatusError> {
    let text = if text.is_empty() { "{}" } else { text };
    let selector = Selector::parse(text).map_err(|error| failed(parameter, &error.message))?;
    let is_type = |matcher: &&Matcher| matcher.name() == label_name::NAME && matcher.op() == MatchOp::Equal;
    let id = selector.matchers().iter().find(is_type);
    let others = selector.matchers().iter().filter(|matcher| Some(*matcher) != id).cloned().collect();
    Ok((id.map(|id| id.value().to_owned()), Selector::from_matchers(others).to_string()))
}

fn failed(parameter: &str, why: &str) -> StatusError {
    StatusError::new(ErrorCode::InvalidArgument, format!("failed to parse {parameter:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

    #[test]
    fn a_type_and_the_rest() {
        for (text, selector) in [
            (format!("{CPU}{{service_name=\"a\", pod=~\"p.*\",}}"), "{service_name=\"a\",pod=~\"p.*\"}"),
            (format!("{{__name__=\"{CPU}\"}}"), "{}"),
            (format!("{CPU}{{}}"), "{}"),
            (CPU.to_owned(), "{}"),
        ] {
            let query = LegacyQuery::parse("query", &text).unwrap();
            assert_eq!((query.profile_type.to_string().as_str(), query.selector.as_str()), (CPU, selector), "{text}");
        }
    }

    #[test]
    fn what_is_no_query_says_which_parameter() {
        for (text, message) in [
            ("", "\"leftQuery\" is required"),
            ("{a=\"b\"}", "failed to parse \"leftQuery\": it must begin with a profile type"),
            ("nope", "failed to parse \"leftQuery\": profile-type selection must be of the form"),
            ("a:b:c:d:e{", "failed to parse \"leftQuery\": "),
        ] {
            let error = LegacyQuery::parse("leftQuery", text).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.starts_with(message), "{text}: {}", error.message);
        }
    }
}
