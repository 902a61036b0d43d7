//! The same object or query as a client holds it: what it receives or sends, in types that know no rule of
//! the server.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Type};

use crate::input::{Field, Input};

/// Which way an object travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the server.
    Received,
    /// To the server.
    Sent,
}

/// Types of which the client has an `Option`, whose `None` is a member that is not sent.
const MAY_BE_ABSENT: &[&str] = &["Option", "Change", "NotNull"];

/// Types whose value is empty when the member is missing: an older server does not send every member.
const MAY_BE_MISSING: &[&str] = &[
    "AnyObject",
    "AtMost",
    "Labels",
    "NonEmpty",
    "StringMap",
    "Vec",
    "bool",
];

/// The struct of the client, in a module of its own: its name may be that of a type of the domain.
pub(crate) fn client_type(input: &Input, direction: Direction) -> TokenStream {
    let Some(name) = &input.client_name else {
        return TokenStream::new();
    };
    let (ident, about) = (&input.ident, &input.doc);
    let (impls, types, bounds) = input.generics.split_for_impl();
    let module = format_ident!("{}_client", snake(ident));
    let derives = match direction {
        Direction::Received => quote! {
            #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
            #[non_exhaustive]
        },
        Direction::Sent => quote!(#[derive(Clone, Debug, Default, serde::Serialize)]),
    };
    let fields = input.fields.iter().map(|field| one(field, direction));
    quote! {
        pub(crate) mod #module {
            #![allow(dead_code, reason = "clients have no use for some objects")]
            #![allow(private_interfaces, reason = "a private type stands for one that is not")]

            #[allow(unused_imports, reason = "not every object names a type of its file")]
            use super::*;

            #[doc = #about]
            #derives
            pub struct #name {
                #(#fields)*
            }
        }

        impl #impls crate::wire::ClientType for #ident #types #bounds {
            type As = #module::#name;
        }
    }
}

fn one(field: &Field, direction: Direction) -> TokenStream {
    let (ident, wire, shape) = (&field.ident, &field.name, &field.shape);
    let about = match &field.doc {
        Some(doc) => doc.clone(),
        None if field.flatten => "The members that it shares with another object.".to_owned(),
        None => "As in the resource.".to_owned(),
    };
    let attribute = if field.flatten {
        quote!(#[serde(flatten)])
    } else if direction == Direction::Received
        && (field.skipped || is_one_of(shape, MAY_BE_MISSING))
    {
        quote!(#[serde(rename = #wire, default)])
    } else if direction == Direction::Sent && is_one_of(shape, MAY_BE_ABSENT) {
        quote!(#[serde(rename = #wire, skip_serializing_if = "Option::is_none")])
    } else {
        quote!(#[serde(rename = #wire)])
    };
    // A secret of the server's is borrowed; the client owns all that it has.
    let shape = owned(shape);
    quote! {
        #[doc = #about]
        #attribute
        pub #ident: <#shape as crate::wire::ClientType>::As,
    }
}

/// Whether the type has one of these names.
fn is_one_of(shape: &Type, names: &[&str]) -> bool {
    let Type::Path(path) = shape else {
        return false;
    };
    let last = path.path.segments.last();
    last.is_some_and(|last| names.iter().any(|name| last.ident == name))
}

/// The type without a lifetime of its own.
fn owned(shape: &Type) -> TokenStream {
    if let Type::Reference(_) = shape {
        quote!(String)
    } else {
        quote!(#shape)
    }
}

fn snake(ident: &Ident) -> String {
    let mut text = String::new();
    for letter in ident.to_string().chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
