//! The canonical text of an expression: what EXPLAIN shows and fingerprints are taken from.

use super::{Scalar, ScalarKind};

impl Scalar {
    /// Flink-like text; operators in parentheses where precedence could be doubted.
    pub fn describe(&self) -> String {
        use ScalarKind::*;
        match &self.kind {
            Column { name, .. } => name.clone(),
            Literal { text, .. } => text.clone(),
            Listed { place, text, .. } => format!("{text}[{}]", place.describe()),
            Arithmetic { operation, left, right } => {
                format!("({} {} {})", left.describe(), operation.symbol(), right.describe())
            }
            Negate(operand) => format!("-{}", operand.describe()),
            AddInterval { operand, interval, subtract } => {
                let sign = if *subtract { '-' } else { '+' };
                format!("({} {sign} {})", operand.describe(), interval.describe())
            }
            Compare { comparison, left, right } => {
                format!("({} {} {})", left.describe(), comparison.symbol(), right.describe())
            }
            And(parts) => format!("({})", join(parts, " AND ")),
            Or(parts) => format!("({})", join(parts, " OR ")),
            Not(operand) => format!("NOT {}", operand.describe()),
            IsNull { operand, negated } => {
                format!("{} IS {}NULL", operand.describe(), if *negated { "NOT " } else { "" })
            }
            IsTruth { operand, truth, negated } => format!(
                "{} IS {}{}",
                operand.describe(),
                if *negated { "NOT " } else { "" },
                if *truth { "TRUE" } else { "FALSE" }
            ),
            Distinct { left, right, negated } => format!(
                "({} IS {}DISTINCT FROM {})",
                left.describe(),
                if *negated { "NOT " } else { "" },
                right.describe()
            ),
            Case { branches, otherwise } => {
                let parts: String = branches
                    .iter()
                    .map(|(when, then)| format!("WHEN {} THEN {} ", when.describe(), then.describe()))
                    .collect();
                format!("CASE {parts}ELSE {} END", otherwise.describe())
            }
            Coalesce(parts) => format!("COALESCE({})", join(parts, ", ")),
            InList { operand, list, negated } => format!(
                "{} {}IN ({})",
                operand.describe(),
                if *negated { "NOT " } else { "" },
                join(list, ", ")
            ),
            Like { operand, pattern, escape, similar, negated } => format!(
                "{} {}{} {}{}",
                operand.describe(),
                if *negated { "NOT " } else { "" },
                if *similar { "SIMILAR TO" } else { "LIKE" },
                pattern.describe(),
                escape.map(|letter| format!(" ESCAPE '{letter}'")).unwrap_or_default()
            ),
            Cast { operand, mode } => format!(
                "{}({} AS {})",
                if mode.lenient { "TRY_CAST" } else { "CAST" },
                operand.describe(),
                self.data_type.summary()
            ),
            Call { function, arguments, .. } => format!("{}({})", function.name, join(arguments, ", ")),
            Field { base, name, .. } => format!("{}.{name}", base.describe()),
            Element { base, index } => format!("{}[{}]", base.describe(), index.describe()),
            Row(parts) => format!("ROW({})", join(parts, ", ")),
            Array(parts) => format!("ARRAY[{}]", join(parts, ", ")),
            Map(entries) => {
                let parts: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{}, {}", key.describe(), value.describe()))
                    .collect();
                format!("MAP[{}]", parts.join(", "))
            }
            CurrentWatermark(column) => format!("CURRENT_WATERMARK({})", column.describe()),
        }
    }
}

fn join(parts: &[Scalar], separator: &str) -> String {
    parts.iter().map(Scalar::describe).collect::<Vec<_>>().join(separator)
}
