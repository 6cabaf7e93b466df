//! Type rules against the values that Flink 2.3 gives.

use super::*;

fn decimal(precision: u8, scale: u8) -> TypeKind {
    TypeKind::Decimal { precision, scale }
}

#[test]
fn decimal_arithmetic_has_flinks_precision() {
    // 0.908 is DECIMAL(4, 3) and BIGINT counts as DECIMAL(19, 0).
    assert_eq!(decimal::multiplication((4, 3), (19, 0)), (24, 3));
    assert_eq!(decimal::multiplication((38, 10), (38, 10)), (38, 6));
    assert_eq!(decimal::division((10, 0), (2, 1)), (17, 6));
    assert_eq!(decimal::addition((10, 2), (10, 2)), (11, 2));
    assert_eq!(decimal::addition((38, 2), (38, 10)), (38, 6));
    assert_eq!(decimal::modulo((10, 2), (5, 3)), (5, 3));
    assert_eq!(decimal::round((10, 4), 2), (9, 2));
    assert_eq!(decimal::round((10, 4), -1), (7, 0));
}

#[test]
fn types_print_as_in_describe() {
    assert_eq!(decimal(10, 2).not_null().to_string(), "DECIMAL(10, 2) NOT NULL");
    assert_eq!(TypeKind::string().nullable().to_string(), "STRING");
    assert_eq!(TypeKind::VarChar(9).nullable().to_string(), "VARCHAR(9)");
    assert_eq!(
        TypeKind::Timestamp(3).nullable().describe_column(TimeAttribute::RowTime),
        "TIMESTAMP(3) *ROWTIME*"
    );
    let row = TypeKind::Row(vec![RowField { name: "a".into(), data_type: TypeKind::Int.not_null() }]);
    assert_eq!(
        TypeKind::Array(Box::new(row.nullable())).nullable().to_string(),
        "ARRAY<ROW<`a` INT NOT NULL>>"
    );
}

#[test]
fn common_types() {
    let common = |a: TypeKind, b: TypeKind| {
        common_type(&a.nullable(), &b.nullable()).map(|common| common.kind.to_string())
    };
    assert_eq!(common(TypeKind::Int, TypeKind::BigInt).as_deref(), Some("BIGINT"));
    assert_eq!(common(TypeKind::Int, decimal(4, 3)).as_deref(), Some("DECIMAL(13, 3)"));
    assert_eq!(common(TypeKind::Float, TypeKind::BigInt).as_deref(), Some("FLOAT"));
    assert_eq!(common(TypeKind::Float, decimal(4, 3)).as_deref(), Some("DOUBLE"));
    assert_eq!(common(TypeKind::Char(3), TypeKind::Char(9)).as_deref(), Some("VARCHAR(9)"));
    assert_eq!(common(TypeKind::Null, TypeKind::Date).as_deref(), Some("DATE"));
    assert_eq!(common(TypeKind::Timestamp(3), TypeKind::Timestamp(6)).as_deref(), Some("TIMESTAMP(6)"));
    assert_eq!(common(TypeKind::Int, TypeKind::string()), None);
    assert_eq!(common(TypeKind::Boolean, TypeKind::Int), None);
}

#[test]
fn implicit_casts_widen_only() {
    let implicit = |a: TypeKind, b: TypeKind| implicitly_castable(&a.nullable(), &b.nullable());
    assert!(implicit(TypeKind::Int, TypeKind::BigInt));
    assert!(!implicit(TypeKind::BigInt, TypeKind::Int));
    assert!(implicit(TypeKind::BigInt, TypeKind::Double));
    assert!(!implicit(TypeKind::Double, TypeKind::BigInt));
    assert!(implicit(TypeKind::Char(3), TypeKind::string()));
    assert!(!implicit(TypeKind::Int, TypeKind::string()));
    assert!(implicit(TypeKind::Timestamp(3), TypeKind::TimestampLtz(3)));
}

#[test]
fn arrow_types_come_back() {
    for kind in [
        TypeKind::Boolean,
        TypeKind::BigInt,
        decimal(23, 3),
        TypeKind::string(),
        TypeKind::Timestamp(9),
        TypeKind::TimestampLtz(3),
        TypeKind::Array(Box::new(TypeKind::Int.nullable())),
        TypeKind::Map(Box::new(TypeKind::string().not_null()), Box::new(TypeKind::Double.nullable())),
    ] {
        let logical = kind.nullable();
        assert_eq!(LogicalType::from_arrow(&logical.to_arrow(), true), Some(logical));
    }
}
