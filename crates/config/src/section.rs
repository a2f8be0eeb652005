//! A section of the configuration: a struct whose fields are keys, written once with the `section!` macro.

use crate::{ConfigError, Values};

/// All that is known of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The flag and the dotted path in YAML (`server.http-listen-port`).
    pub key: &'static str,
    /// Other names the same value may be given under, dashes written.
    pub aliases: Vec<String>,
    /// Name of the field; for limits also the YAML name under `limits:` and `overrides:`.
    pub field: &'static str,
    /// What the value looks like (`duration`, `size`, `bool`, …).
    pub kind: &'static str,
    /// The default as one would write it.
    pub default: String,
    /// What it does, unit and meaning of 0.
    pub doc: String,
    /// What the section is about.
    pub section: String,
    /// Never printed.
    pub secret: bool,
}

/// A part of the configuration.
pub trait Section: Sized {
    /// The block of the YAML file in which every field's name is an alias of its key.
    const BLOCK: Option<&'static str> = None;

    /// The keys in the order of their declaration.
    fn keys() -> Vec<KeySpec>;

    /// Takes what is given and leaves the rest as it is in `base`.
    fn load_over(base: Self, values: &mut Values) -> Result<Self, ConfigError>;

    /// Takes what is given, the rest by default.
    fn load(values: &mut Values) -> Result<Self, ConfigError>;

    /// Every key with its value as one would write it, secrets masked; in the order of [`Section::keys`].
    fn texts(&self) -> Vec<String>;
}

/// Joins doc comment lines to one text.
#[doc(hidden)]
pub fn join_doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The aliases of a key: those written out, and its field's name in the section's block.
#[doc(hidden)]
pub fn aliases(block: Option<&str>, field: &str, written: &[&str]) -> Vec<String> {
    let in_block = block.map(|block| crate::normal(&format!("{block}.{field}")));
    written.iter().map(|alias| (*alias).to_owned()).chain(in_block).collect()
}

/// Declares a section: its struct, `Default`, `Clone`, `Debug` and [`Section`].
///
/// ```
/// flamelake_config::section! {
///     /// Oven: bakes.
///     pub struct OvenConfig {
///         /// How long. 0 = until somebody looks.
///         "oven.bake-time" => pub bake_time: std::time::Duration = std::time::Duration::from_secs(90),
///     }
/// }
/// assert_eq!(<OvenConfig as flamelake_config::Section>::keys()[0].default, "1m30s");
/// ```
///
/// Every key ends with a comma. `"key" | "other-name" =>` gives a key a second name, `struct Name in "block"` makes `block.field_name` one for every key, and
/// `nested { pub part: PartConfig }` after the keys takes sections into a section.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $about:expr])*
        pub struct $name:ident $(in $block:literal)? {
            $(
                $(#[doc = $doc:expr])*
                $key:literal $(| $alias:literal)* => pub $field:ident : $type:ty = $default:expr,
            )*
            $(nested {
                $( $(#[doc = $nested_doc:expr])* pub $nested:ident : $nested_type:ty ),* $(,)?
            })?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
            $($( $(#[doc = $nested_doc])* pub $nested: $nested_type, )*)?
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: $default, )*
                    $($( $nested: ::core::default::Default::default(), )*)?
                }
            }
        }

        impl $crate::Section for $name {
            $( const BLOCK: ::core::option::Option<&'static str> = ::core::option::Option::Some($block); )?

            fn keys() -> ::std::vec::Vec<$crate::KeySpec> {
                #[allow(unused_variables, reason = "a section may consist of other sections only")]
                let about = $crate::__private::join_doc(&[$($about),*]);
                #[allow(unused_variables, reason = "a section may consist of other sections only")]
                let base = Self::default();
                #[allow(unused_mut, reason = "pushes only what is nested")]
                let mut keys: ::std::vec::Vec<$crate::KeySpec> = ::std::vec![
                    $( $crate::KeySpec {
                        key: $key,
                        aliases: $crate::__private::aliases(
                            <Self as $crate::Section>::BLOCK, ::core::stringify!($field), &[$($alias),*]),
                        field: ::core::stringify!($field),
                        kind: <$type as $crate::FromText>::KIND,
                        default: $crate::FromText::to_text(&base.$field),
                        doc: $crate::__private::join_doc(&[$($doc),*]),
                        section: about.clone(),
                        secret: <$type as $crate::FromText>::SECRET,
                    }, )*
                ];
                $($( keys.extend(<$nested_type as $crate::Section>::keys()); )*)?
                keys
            }

            fn load_over(
                base: Self,
                #[allow(unused_variables, reason = "as above")] values: &mut $crate::Values,
            ) -> ::core::result::Result<Self, $crate::ConfigError> {
                // By name, so that every field is asked for.
                let Self { $( $field, )* $($( $nested, )*)? } = base;
                ::core::result::Result::Ok(Self {
                    $( $field: values.get($key, $field)?, )*
                    $($( $nested: <$nested_type as $crate::Section>::load_over($nested, values)?, )*)?
                })
            }

            fn load(values: &mut $crate::Values) -> ::core::result::Result<Self, $crate::ConfigError> {
                Self::load_over(<Self as ::core::default::Default>::default(), values)
            }

            fn texts(&self) -> ::std::vec::Vec<::std::string::String> {
                #[allow(unused_mut, reason = "pushes only what is nested")]
                let mut texts: ::std::vec::Vec<::std::string::String> =
                    ::std::vec![$( $crate::FromText::to_text(&self.$field), )*];
                $($( texts.extend($crate::Section::texts(&self.$nested)); )*)?
                texts
            }
        }
    };
}
