#![doc = include_str!("../README.md")]
//!
//! A struct is the one description of an object or a query of the API. Its fields, in their order, are what is read
//! and what the OpenAPI document shows; doc comments are the descriptions. Each derive also makes the type that
//! a client holds the object or query in.
//!
//! `docs/decisions/README.md` says why this is not deserr, eserde or utoipa's derive.

mod client;
mod input;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

use client::{Direction, client_type};
use input::{Field, Input};

/// Reads an object of a request, and describes it.
///
/// For the struct:
/// - `#[api(name = "NewOrg")]`: the name of the schema; without it, the name of the struct.
/// - `#[api(like = OrgView)]`: a field without a doc comment has the description that the field of the same
///   name has there.
/// - `#[api(exclusive(a, b))]`: at most one of the two fields may have a value.
/// - `#[api(context = Reach)]`: what the values of this request are checked against.
///
/// For a field:
/// - `#[api(example = "acme")]`: its value in the example, as JSON. An optional field without it is left out.
/// - `#[api(flatten)]`: the fields of another request stand in this object.
#[proc_macro_derive(Request, attributes(api))]
pub fn request(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    Input::new(input)
        .map(|input| expand_request(&input))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Describes an object of a response; `serde::Serialize` writes it.
///
/// Takes `name`, `like` and `example` as [`macro@Request`] does, and
/// - `#[api(closed)]` for the struct: the schema allows no other members.
/// - `#[api(as = Slug)]` for a field: it has the schema of another type than the one that it is held in.
///
/// `#[serde(rename)]` and `#[serde(flatten)]` are understood; with `#[serde(skip_serializing_if)]` a field
/// is not required.
#[proc_macro_derive(Response, attributes(api, serde))]
pub fn response(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    Input::new(input)
        .map(|input| expand_response(&input))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Reads the query of an operation, and describes its parameters by the doc comments of the fields.
///
/// - `#[api(admin)]` for a field: only the queries of admin keys have it.
#[proc_macro_derive(Query, attributes(api))]
pub fn query(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    Input::new(input)
        .map(|input| expand_query(&input))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

fn expand_query(input: &Input) -> TokenStream {
    let ident = &input.ident;
    let reads = input.fields.iter().map(|field| {
        let (name, wire, ty) = (&field.ident, &field.name, &field.ty);
        let read = quote!(<#ty as crate::query::QueryField>::read(query, #wire)?);
        if field.admin {
            quote!(#name: if by_admin { #read } else { None })
        } else {
            quote!(#name: #read)
        }
    });
    let parameters = input.fields.iter().map(|field| {
        let (wire, ty, about) = (&field.name, &field.ty, &field.doc);
        let condition = field.admin.then(|| quote!(if by_admin));
        quote!(#condition { parameters.push(crate::query::parameter::<#ty>(#wire, #about)); })
    });
    let client = client_type(input, Direction::Sent);
    quote! {
        #client

        impl crate::query::Query for #ident {
            fn read(
                query: &mut crate::query::Parameters,
                by_admin: bool,
            ) -> Result<Self, crate::query::QueryError> {
                let _ = by_admin;
                Ok(Self { #(#reads),* })
            }

            fn parameters(by_admin: bool) -> Vec<utoipa::openapi::path::Parameter> {
                let mut parameters = Vec::new();
                #(#parameters)*
                let _ = by_admin;
                parameters
            }
        }
    }
}

fn expand_request(input: &Input) -> TokenStream {
    let ident = &input.ident;
    let context_type = input.context.as_ref().map(|context| quote!(#context));
    let any_context = context_type.clone().unwrap_or_else(|| quote!(()));
    let object = object(input, true, |field| {
        let shape = &field.shape;
        quote!(<#shape as crate::wire::FromJson<#any_context>>::REQUIRED)
    });
    let context = context_type.unwrap_or_else(|| quote!(C));
    let generics = input.context.is_none().then(|| quote!(<C>));
    let reads = input.fields.iter().map(|field| {
        let (name, wire, ty) = (&field.ident, &field.name, &field.ty);
        let read = if field.flatten {
            quote!(<#ty as crate::wire::Request<#context>>::read(object, context))
        } else {
            quote!(<#ty as crate::wire::FromJson<#context>>::field(object, #wire, context))
        };
        // A pair is looked at once its second field has been read, so that errors keep their order.
        let pairs = input.exclusive.iter().filter(|(_, second)| second == name);
        let checks = pairs.map(|(first, second)| {
            let (first_name, second_name) = (first.to_string(), second.to_string());
            quote!(crate::wire::exclusive(object, (#first_name, &#first), (#second_name, &#second));)
        });
        quote!(let #name = #read; #(#checks)*)
    });
    let names = input.fields.iter().map(|field| &field.ident);
    let client = client_type(input, Direction::Sent);
    quote! {
        #object
        #client

        impl crate::wire::RequestBody for #ident {
            fn name() -> String {
                <Self as crate::wire::ObjectType>::name()
            }
        }

        impl #generics crate::wire::Request<#context> for #ident {
            fn read(object: &mut crate::wire::Object, context: &#context) -> Option<Self> {
                #(#reads)*
                Some(Self { #(#names: #names?),* })
            }
        }

        impl #generics crate::wire::FromJson<#context> for #ident {
            fn from_json(value: serde_json::Value, context: &#context) -> crate::wire::Read<Self> {
                crate::wire::Object::of_value(value)?.finish(|object| {
                    <Self as crate::wire::Request<#context>>::read(object, context)
                })
            }
        }

        impl crate::wire::WireType for #ident {
            fn schema(components: &mut crate::wire::Components) -> crate::wire::AnySchema {
                crate::wire::component::<Self>(components)
            }

            fn example() -> serde_json::Value {
                crate::wire::object_example::<Self>()
            }
        }
    }
}

fn expand_response(input: &Input) -> TokenStream {
    let ident = &input.ident;
    let (impls, types, bounds) = input.generics.split_for_impl();
    let object = object(input, false, |field| {
        let required = !field.skipped;
        quote!(#required)
    });
    let client = client_type(input, Direction::Received);
    quote! {
        #object
        #client

        impl #impls crate::wire::WireType for #ident #types #bounds {
            fn schema(components: &mut crate::wire::Components) -> crate::wire::AnySchema {
                crate::wire::component::<Self>(components)
            }

            fn example() -> serde_json::Value {
                crate::wire::object_example::<Self>()
            }
        }
    }
}

/// What the document shows of either kind of object.
fn object(input: &Input, request: bool, required: impl Fn(&Field) -> TokenStream) -> TokenStream {
    let (ident, name, about) = (&input.ident, &input.name, &input.doc);
    let (impls, types, bounds) = input.generics.split_for_impl();
    let closed = request || input.closed;
    let fields = input.fields.iter().map(|field| {
        let shape = &field.shape;
        if field.flatten {
            return quote! {
                fields.extend(<#shape as crate::wire::ObjectType>::fields(components));
            };
        }
        let (wire, required) = (&field.name, required(field));
        let schema = quote!(<#shape as crate::wire::WireType>::schema(components));
        let schema = if request {
            schema
        } else {
            quote!(crate::wire::open(#schema))
        };
        let about = match (&field.doc, &input.like) {
            (None, Some(like)) => quote!(crate::wire::description_in::<#like>(#wire)),
            (doc, _) => quote!(#doc.to_owned()),
        };
        let example = match &field.example {
            Some(example) => quote!(Some(serde_json::json!(#example))),
            None => quote!(#required.then(<#shape as crate::wire::WireType>::example)),
        };
        quote! {
            fields.push(crate::wire::Field {
                name: #wire,
                description: #about,
                required: #required,
                schema: #schema,
                example: #example,
            });
        }
    });
    // A field that is described elsewhere must be there, or this does not compile.
    let described = input.like.iter().flat_map(|like| {
        let without = input
            .fields
            .iter()
            .filter(|field| field.doc.is_none() && !field.flatten);
        without.map(move |field| {
            let name = &field.ident;
            quote!(const _: fn(&#like) = |like| { let _ = &like.#name; };)
        })
    });
    let exclusive = input.exclusive.iter().map(|(first, second)| {
        let (first, second) = (first.to_string(), second.to_string());
        quote!((#first, #second))
    });
    quote! {
        #(#described)*

        impl #impls crate::wire::ObjectType for #ident #types #bounds {
            const DESCRIPTION: &'static str = #about;
            const CLOSED: bool = #closed;
            const EXCLUSIVE: &'static [(&'static str, &'static str)] = &[#(#exclusive),*];

            fn name() -> String {
                String::from(#name)
            }

            fn fields(components: &mut crate::wire::Components) -> Vec<crate::wire::Field> {
                let mut fields = Vec::new();
                #(#fields)*
                let _ = components;
                fields
            }
        }
    }
}
