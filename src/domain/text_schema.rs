//! What the document of the API says of types that are written as texts.

/// Describes a type as a text of this pattern (a regular expression of ECMA 262).
macro_rules! text_schema {
    ($name:ident, $pattern:expr $(, $example:literal)*) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use utoipa::openapi::{ObjectBuilder, schema::Type};
                let examples: &[&str] = &[$($example),*];
                let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some($pattern));
                text.examples(examples.iter().copied()).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

pub(in crate::domain) use text_schema;
