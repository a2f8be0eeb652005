//! Which series there are, and what their labels are called: profiles seen as metrics.
//!
//! `profile_type` is the label `__profile_type__`; other labels that begin with `__` are left out. Where a stored label has a name that is
//! taken here, it is shown with `exported_` before it, as Prometheus does with labels of what it scrapes.

use flamelake_model::selector::{MatchOp, Matcher, Selector};
use flamelake_model::{Labels, LabelsBuilder, StatusError, label_name};

use super::ast::VectorSelector;
use super::values::execution;

/// Label of the profile's type.
pub(crate) const PROFILE_TYPE: &str = "profile_type";
/// Label of the function.
pub(crate) const FUNCTION: &str = "function";
/// Stands before the name of a stored label that is one of ours.
const EXPORTED: &str = "exported_";

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// The total of each profile.
    Profile,
    /// What a function cost with all that it called.
    Function,
    /// What a function cost itself.
    FunctionSelf,
}

impl Metric {
    pub(crate) const ALL: [Self; 3] = [Self::FunctionSelf, Self::Function, Self::Profile];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Profile => "flamelake_profile_value",
            Self::Function => "flamelake_function_value",
            Self::FunctionSelf => "flamelake_function_self_value",
        }
    }

    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Profile => "Total of each profile, at its time, in the unit of its type.",
            Self::Function => {
                "What a function cost in each profile, with all that it called. Needs a matcher on function."
            }
            Self::FunctionSelf => "What a function cost in each profile by itself. Needs a matcher on function.",
        }
    }

    pub(crate) fn has_function(self) -> bool {
        self != Self::Profile
    }

    /// What a stored label is called; `None` if it is left out.
    pub(crate) fn shown(self, stored: &str) -> Option<String> {
        match stored {
            label_name::PROFILE_TYPE => Some(PROFILE_TYPE.to_owned()),
            PROFILE_TYPE => Some(format!("{EXPORTED}{stored}")),
            FUNCTION if self.has_function() => Some(format!("{EXPORTED}{stored}")),
            name if name.starts_with("__") => None,
            name if self.is_shadowed(name) => None,
            name => Some(name.to_owned()),
        }
    }

    /// The stored label behind a shown one.
    pub(crate) fn stored(self, shown: &str) -> &str {
        match shown {
            PROFILE_TYPE => label_name::PROFILE_TYPE,
            name if self.is_shadowed(name) => &name[EXPORTED.len()..],
            name => name,
        }
    }

    /// Is it the name under which another stored label is shown?
    fn is_shadowed(self, name: &str) -> bool {
        match name.strip_prefix(EXPORTED) {
            Some(PROFILE_TYPE) => true,
            Some(FUNCTION) => self.has_function(),
            _ => false,
        }
    }

    /// A stored label set as it is shown.
    pub(crate) fn shown_labels(self, stored: &Labels) -> Labels {
        let mut builder = LabelsBuilder::default();
        for label in stored {
            if let Some(name) = self.shown(&label.name) {
                builder.set(&name, &label.value);
            }
        }
        builder.build()
    }
}

/// What a selector asks of one metric, in the names that are stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selected {
    pub(crate) metric: Metric,
    pub(crate) selector: Selector,
    /// On the function's name; at least one of them keeps most functions out.
    pub(crate) function: Vec<Matcher>,
}

/// The metrics that a selector means. Those by function are meant only where it says which functions.
///
/// Errors: it names one of these and does not say which functions.
pub(crate) fn select(selector: &VectorSelector) -> Result<Vec<Selected>, StatusError> {
    let of = |name: &str| selector.matchers.iter().filter(move |matcher| matcher.name() == name).collect::<Vec<_>>();
    let names = of(label_name::NAME);
    let named = |metric: &Metric| names.iter().all(|matcher| matcher.matches_value(metric.name()));
    let says_which = of(FUNCTION)
        .iter()
        .any(|matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Matches) && !matcher.matches_value(""));
    let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(named).collect();
    if let Some(metric) = metrics.first().filter(|_| !says_which && metrics.iter().all(|metric| metric.has_function()))
    {
        return Err(execution(format!(
            "{} needs a matcher that says which functions, as {{function=\"main.work\"}} or {{function=~\"main\\\\..+\"}}: there \
             are too many of them",
            metric.name()
        )));
    }
    metrics
        .into_iter()
        .filter(|metric| says_which || !metric.has_function())
        .map(|metric| one(selector, metric))
        .collect()
}

fn one(selector: &VectorSelector, metric: Metric) -> Result<Selected, StatusError> {
    let (mut stored, mut function) = (Vec::new(), Vec::new());
    for matcher in &selector.matchers {
        match matcher.name() {
            label_name::NAME => {}
            FUNCTION if metric.has_function() => function.push(matcher.clone()),
            name => stored.push(matcher.renamed(metric.stored(name))),
        }
    }
    Ok(Selected { metric, selector: Selector::from_matchers(stored), function })
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_selector;
    use super::*;

    fn selected(text: &str) -> Result<Vec<String>, String> {
        let all = select(&parse_selector(text).unwrap()).map_err(|error| error.message)?;
        Ok(all.iter().map(|one| format!("{} {} {}", one.metric.name(), one.selector, one.function.len())).collect())
    }

    #[test]
    fn selectors_are_told_apart_by_metric() {
        assert_eq!(
            selected(r#"flamelake_profile_value{profile_type="a:b:c:d:e",x!="1"}"#).unwrap(),
            [r#"flamelake_profile_value {__profile_type__="a:b:c:d:e",x!="1"} 0"#]
        );
        assert_eq!(
            selected(r#"{function=~"main.+",service_name="s"}"#).unwrap(),
            [
                r#"flamelake_function_self_value {service_name="s"} 1"#,
                r#"flamelake_function_value {service_name="s"} 1"#,
                r#"flamelake_profile_value {function=~"main.+",service_name="s"} 0"#,
            ]
        );
        assert_eq!(selected(r#"{__name__=~"flamelake_.+"}"#).unwrap(), ["flamelake_profile_value {} 0"]);
        assert_eq!(selected("up").unwrap(), Vec::<String>::new());
        for text in ["flamelake_function_value", r#"flamelake_function_self_value{function!="x"}"#] {
            assert!(selected(text).unwrap_err().contains("says which functions"), "{text}");
        }
    }

    #[test]
    fn names_that_are_ours_move_those_that_are_stored() {
        let labels = Labels::from_pairs([
            ("__profile_type__", "t"),
            ("__session_id__", "1"),
            ("profile_type", "own"),
            ("exported_profile_type", "hidden"),
            ("function", "f"),
            ("pod", "p"),
        ]);
        assert_eq!(
            Metric::Profile.shown_labels(&labels).to_string(),
            r#"{exported_profile_type="own", function="f", pod="p", profile_type="t"}"#
        );
        assert_eq!(
            Metric::Function.shown_labels(&labels).to_string(),
            r#"{exported_function="f", exported_profile_type="own", pod="p", profile_type="t"}"#
        );
        for (shown, stored) in [("profile_type", "__profile_type__"), ("exported_function", "function"), ("pod", "pod")]
        {
            assert_eq!(Metric::Function.stored(shown), stored);
        }
        assert_eq!(Metric::Profile.stored("exported_function"), "exported_function");
    }
}
