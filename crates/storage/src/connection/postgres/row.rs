//! Rows and values between diesel and tokio-postgres. Both are in PostgreSQL's binary format, so nothing
//! is converted.

use std::{error::Error, num::NonZeroU32, ops::Range};

use bytes::BytesMut;
use diesel::{
    pg::{Pg, PgTypeMetadata, PgValue},
    row::{Field, PartialRow, Row, RowIndex, RowSealed},
};
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type};

/// A value that diesel has encoded.
#[derive(Debug)]
pub(super) struct Encoded(pub(super) Option<Vec<u8>>);

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        r#type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(r#type, out)
    }
}

/// The type that diesel has encoded a value as.
pub(super) fn parameter_type(metadata: &PgTypeMetadata) -> diesel::QueryResult<Type> {
    let oid = metadata
        .oid()
        .map_err(|error| diesel::result::Error::SerializationError(error.into()))?;
    // Of a type that is not built in, the server is told nothing but its number.
    let other = || Type::new(String::new(), oid, Kind::Simple, String::new());
    Ok(Type::from_oid(oid).unwrap_or_else(other))
}

/// A value as it came.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A row of an answer.
pub struct PgRow(pub(super) tokio_postgres::Row);

impl RowSealed for PgRow {}

impl<'a> Row<'a, Pg> for PgRow {
    type Field<'f>
        = PgField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.0.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<PgField<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        let column = self.0.columns().get(index)?;
        let Raw(value) = self.0.try_get(index).ok()?;
        Some(PgField {
            name: column.name(),
            oid: NonZeroU32::new(column.type_().oid())?,
            value,
        })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.0.len()).then_some(index)
    }
}

impl RowIndex<&str> for PgRow {
    fn idx(&self, name: &str) -> Option<usize> {
        let mut columns = self.0.columns().iter();
        columns.position(|column| column.name() == name)
    }
}

/// A value of a row.
pub struct PgField<'a> {
    name: &'a str,
    oid: NonZeroU32,
    value: Option<&'a [u8]>,
}

impl<'a> Field<'a, Pg> for PgField<'a> {
    fn field_name(&self) -> Option<&str> {
        Some(self.name)
    }

    fn value(&self) -> Option<PgValue<'_>> {
        self.value.map(|value| PgValue::new(value, &self.oid))
    }
}
