//! A struct and its attributes, as the derives read them.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Generics, Ident, Lit, LitStr,
    Result, Type, ext::IdentExt as _, meta::ParseNestedMeta, parse_quote,
};

/// A struct that describes an object.
pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// The name of its schema, an expression that gives a text.
    pub(crate) name: TokenStream,
    /// The name of the client's type; none when the schema's depends on a type.
    pub(crate) client_name: Option<Ident>,
    pub(crate) doc: String,
    pub(crate) like: Option<Type>,
    pub(crate) context: Option<Type>,
    pub(crate) closed: bool,
    pub(crate) exclusive: Vec<(Ident, Ident)>,
    pub(crate) fields: Vec<Field>,
}

/// One field.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    /// Its name in JSON.
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// The type whose schema it has.
    pub(crate) shape: Type,
    pub(crate) doc: Option<String>,
    pub(crate) example: Option<TokenStream>,
    pub(crate) flatten: bool,
    /// Whether it is only for admin keys.
    pub(crate) admin: bool,
    /// Whether it can be left out of a response.
    pub(crate) skipped: bool,
}

impl Input {
    pub(crate) fn new(input: DeriveInput) -> Result<Self> {
        let Data::Struct(data) = input.data else {
            return Err(Error::new_spanned(
                &input.ident,
                "only a struct describes an object",
            ));
        };
        let Fields::Named(named) = data.fields else {
            return Err(Error::new_spanned(
                &input.ident,
                "an object needs named fields",
            ));
        };
        let ident = input.ident;
        let mut generics = input.generics;
        for parameter in generics.type_params_mut() {
            parameter.bounds.push(parse_quote!(crate::wire::ListItem));
        }
        let mut found = Self {
            name: ident.to_string().to_token_stream(),
            client_name: Some(ident.clone()),
            doc: doc(&input.attrs).ok_or_else(|| {
                Error::new_spanned(
                    &ident,
                    "add a doc comment: it is the description of the object",
                )
            })?,
            ident,
            generics,
            like: None,
            context: None,
            closed: false,
            exclusive: Vec::new(),
            fields: Vec::new(),
        };
        for attribute in input.attrs.iter().filter(|it| it.path().is_ident("api")) {
            attribute.parse_nested_meta(|meta| found.attribute(&meta))?;
        }
        for field in named.named {
            let field = Field::new(field)?;
            if field.doc.is_none() && !field.flatten && found.like.is_none() {
                let text = "add a doc comment: it is the description of the field";
                return Err(Error::new_spanned(&field.ident, text));
            }
            found.fields.push(field);
        }
        Ok(found)
    }

    fn attribute(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            let name = meta.value()?.parse::<Expr>()?;
            self.client_name = literal(&name).map(|text| Ident::new(&text.value(), text.span()));
            self.name = name.to_token_stream();
        } else if meta.path.is_ident("like") {
            self.like = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("context") {
            self.context = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("closed") {
            self.closed = true;
        } else if meta.path.is_ident("exclusive") {
            let mut pair = Vec::new();
            meta.parse_nested_meta(|field| {
                pair.push(field.path.require_ident()?.clone());
                Ok(())
            })?;
            let [first, second] = <[Ident; 2]>::try_from(pair)
                .map_err(|_| meta.error("name two fields, in the order in which they stand"))?;
            self.exclusive.push((first, second));
        } else {
            return Err(meta.error("unknown attribute of an object"));
        }
        Ok(())
    }
}

impl Field {
    fn new(field: syn::Field) -> Result<Self> {
        let ident = field
            .ident
            .ok_or_else(|| Error::new_spanned(&field.ty, "an object needs named fields"))?;
        let mut found = Self {
            name: ident.unraw().to_string(),
            ident,
            shape: field.ty.clone(),
            ty: field.ty,
            doc: doc(&field.attrs),
            example: None,
            flatten: false,
            admin: false,
            skipped: false,
        };
        for attribute in &field.attrs {
            if attribute.path().is_ident("api") {
                attribute.parse_nested_meta(|meta| found.attribute(&meta))?;
            } else if attribute.path().is_ident("serde") {
                attribute.parse_nested_meta(|meta| found.serde_attribute(&meta))?;
            }
        }
        Ok(found)
    }

    fn attribute(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("as") {
            self.shape = meta.value()?.parse()?;
        } else if meta.path.is_ident("example") {
            // One value of JSON is one token: a literal, `null`, `[…]` or `{…}`.
            let value: proc_macro2::TokenTree = meta.value()?.parse()?;
            self.example = Some(quote!(#value));
        } else if meta.path.is_ident("flatten") {
            self.flatten = true;
        } else if meta.path.is_ident("admin") {
            self.admin = true;
        } else {
            return Err(meta.error("unknown attribute of a field"));
        }
        Ok(())
    }

    fn serde_attribute(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("rename") {
            self.name = meta.value()?.parse::<LitStr>()?.value();
        } else if meta.path.is_ident("flatten") {
            self.flatten = true;
        } else if meta.path.is_ident("skip_serializing_if") {
            self.skipped = true;
            meta.value()?.parse::<LitStr>()?;
        } else {
            return Err(meta.error("an attribute that the document would not show"));
        }
        Ok(())
    }
}

/// The text of a literal.
fn literal(expression: &Expr) -> Option<&LitStr> {
    if let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = expression
    {
        Some(text)
    } else {
        None
    }
}

/// The doc comment: lines become one text, paragraphs stay apart.
fn doc(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(|attribute| {
        let pair = attribute.meta.require_name_value().ok()?;
        if !pair.path.is_ident("doc") {
            return None;
        }
        literal(&pair.value).map(|line| line.value().trim().to_owned())
    });
    let mut text = String::new();
    for line in lines {
        if line.is_empty() {
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(&line);
        }
    }
    (!text.is_empty()).then_some(text)
}
