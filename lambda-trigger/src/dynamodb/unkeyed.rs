//! Writes without a key. The rule: at most once. A request is repeated only after an error that proves that nothing
//! was applied; after any other the outcome is unknown, and stays so.

use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::failure::Failed;
use super::patience::{Attempt, Patience};
use super::update::{Expression, Form, Unmet, expression, unmet};
use super::{Inner, counter_state, unavailable};
use crate::store::{Applied, Outcome, Refusal, Write};

impl Inner {
    /// Applies one write, at most once.
    pub(super) async fn apply_unkeyed(&self, write: &Write, mut patience: Patience) -> Outcome {
        let mut form = Form::Above;
        let mut reason = "DynamoDB did not take it in time".to_owned();
        while let Some(attempt) = patience.next() {
            let failed = match self.update(expression(write, form, self.base, (self.clock)()), attempt).await {
                Ok(output) => return self.applied(&output),
                Err(failed) => failed,
            };
            if let Failed::Refused { error: Some(UpdateItemError::ConditionalCheckFailedException(check)), .. } =
                &failed
            {
                match unmet(write, form, self.base, check.item()) {
                    Ok(Unmet::Form(other)) => form = other,
                    Ok(Unmet::Range(reason)) => return Err(Refusal::OutOfRange { reason, replayed: false }),
                    Err(damaged) => return Err(unavailable(damaged)),
                }
                continue;
            }
            if !failed.proves_nothing_applied() {
                return Err(Refusal::OutcomeUnknown(failed.to_string()));
            }
            reason = failed.to_string();
            if !failed.passes() {
                break;
            }
            patience.pause().await;
        }
        Err(unavailable(reason))
    }

    async fn update(
        &self,
        expression: Expression,
        attempt: Attempt,
    ) -> Result<UpdateItemOutput, Failed<UpdateItemError>> {
        let Expression { key, update, condition, names, values } = expression;
        let request = self.client.sdk().update_item().table_name(self.tables.counters()).set_key(Some(key));
        let request = request
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        self.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await
    }

    fn applied(&self, output: &UpdateItemOutput) -> Outcome {
        let unreadable = || Refusal::OutcomeUnknown("DynamoDB's answer cannot be read".into());
        let item = output.attributes().ok_or_else(unreadable)?;
        let state = counter_state(item, self.base).map_err(|_| unreadable())?;
        Ok(Applied { state, replayed: false })
    }
}
