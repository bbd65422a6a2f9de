//! Expressions, ready to be evaluated on batches.

use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::Expr;
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyContext};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;

/// Prepares an expression over rows of a schema. Some functions, such as `coalesce`, only exist until it
/// is simplified.
pub(crate) fn physical(
    session: &SessionContext,
    expr: Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone()));
    let simplifier = ExprSimplifier::new(context.build());
    let expr = simplifier.coerce(expr, schema)?;
    session.create_physical_expr(simplifier.simplify(expr)?, schema)
}
