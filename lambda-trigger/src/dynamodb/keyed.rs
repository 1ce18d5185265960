//! Writes under an idempotency key. The rule: exactly once. The update and the key's record are one transaction that
//! is cancelled while a live record is there, so it may be sent as often as need be; a refusal is remembered by a
//! record of its own before it is answered.
//!
//! A refusal's record also ends whatever is still on its way: a transaction of this call whose answer was lost finds
//! the record and is cancelled.

use analytics_shared::OutOfRange;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::failure::{Failed, passing};
use super::item::{Damaged, Item};
use super::patience::{Attempt, Patience};
use super::record::{Found, Kept, Record, UNLESS_ALIVE};
use super::update::{Expression, Form, Unmet, expression, unmet};
use super::{Inner, Verdict, unavailable};
use crate::store::{Refusal, Write, WriteKey};

/// The name of a condition that does not hold, among the reasons of a cancelled transaction.
const CONDITION: &str = "ConditionalCheckFailed";

/// Where a call stands after one request.
enum Step {
    /// It is decided.
    Decided(Verdict),
    /// The update's condition does not hold.
    Unmet(Unmet),
    /// Nothing was applied by this request; try again.
    Again(String),
    /// It may have been applied; trying again tells.
    Unclear(String),
    /// Nothing was applied by this request, nor would be by another.
    Stop(String),
}

impl Inner {
    /// Applies one write exactly once under its key.
    pub(super) async fn apply_keyed(&self, write: &Write, key: &WriteKey, mut patience: Patience) -> Verdict {
        let record = Record::new(write, key, (self.clock)());
        let mut form = Form::Above;
        let mut refused: Option<OutOfRange> = None;
        let mut unclear = false;
        let mut reason = "DynamoDB did not take it in time".to_owned();
        while let Some(attempt) = patience.next() {
            let step = match refused {
                None => self.transact(write, &record, form, attempt).await,
                Some(refused) => self.remember(refused, &record, attempt).await,
            };
            match step {
                Step::Decided(verdict) => return verdict,
                Step::Unmet(Unmet::Form(other)) => form = other,
                Step::Unmet(Unmet::Range(range)) => refused = Some(range),
                Step::Again(why) => {
                    reason = why;
                    patience.pause().await;
                }
                Step::Unclear(why) => {
                    unclear = true;
                    reason = why;
                    patience.pause().await;
                }
                Step::Stop(why) => {
                    reason = why;
                    break;
                }
            }
        }
        Verdict::Known(Err(if unclear { Refusal::OutcomeUnknown(reason) } else { unavailable(reason) }))
    }

    /// Sends the transaction once.
    async fn transact(&self, write: &Write, record: &Record, form: Form, attempt: Attempt) -> Step {
        let items = self
            .update_of(expression(write, form, self.base, (self.clock)()))
            .and_then(|update| Ok([update, self.put_of(record)?]));
        let items = match items {
            Ok(items) => items,
            Err(error) => return Step::Stop(error.to_string()),
        };
        let request = self.client.sdk().transact_write_items().set_transact_items(Some(items.into()));
        match self.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
            Ok(_) => Step::Decided(Verdict::Applied { replayed: false }),
            Err(Failed::Refused {
                error: Some(TransactWriteItemsError::TransactionCanceledException(cancelled)),
                ..
            }) => self.cancelled(write, record, form, cancelled.cancellation_reasons()),
            Err(failed) if !failed.proves_nothing_applied() => Step::Unclear(failed.to_string()),
            Err(failed) if failed.passes() => Step::Again(failed.to_string()),
            Err(failed) => Step::Stop(failed.to_string()),
        }
    }

    /// What a cancelled transaction's reasons, in the order of its items, say.
    fn cancelled(&self, write: &Write, record: &Record, form: Form, reasons: &[CancellationReason]) -> Step {
        let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
        let condition = |reason: &&CancellationReason| reason.code() == Some(CONDITION);
        // The record comes first: what it says holds, however the counter has changed since.
        if let Some(there) = reasons.get(1).filter(condition) {
            return found(record, there.item());
        }
        if let Some(passing) = reasons.iter().map(code).find(|code| passing(code)) {
            return Step::Again(format!("DynamoDB answers {passing}"));
        }
        if let Some(there) = reasons.first().filter(condition) {
            return match unmet(write, form, self.base, there.item()) {
                Ok(unmet) => Step::Unmet(unmet),
                Err(damaged) => Step::Stop(damaged.to_string()),
            };
        }
        let codes: Vec<String> = reasons.iter().map(code).collect();
        Step::Stop(format!("DynamoDB cancels the transaction ({})", codes.join(", ")))
    }

    /// Writes the record of a refusal, unless the key has been decided meanwhile.
    async fn remember(&self, refused: OutOfRange, record: &Record, attempt: Attempt) -> Step {
        let request = self
            .client
            .sdk()
            .put_item()
            .table_name(self.tables.idempotency())
            .set_item(Some(record.item(Kept::OutOfRange)))
            .condition_expression(UNLESS_ALIVE)
            .set_expression_attribute_names(Some(record.names().into()))
            .set_expression_attribute_values(Some([record.now()].into()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match self.client.send(attempt, |sent| request.customize().interceptor(sent).send()).await {
            Ok(_) => Step::Decided(Verdict::Known(Err(Refusal::OutOfRange { reason: refused, replayed: false }))),
            Err(Failed::Refused { error: Some(PutItemError::ConditionalCheckFailedException(check)), .. }) => {
                found(record, check.item())
            }
            // The record counts nothing, so a lost answer leaves nothing unclear about the counter.
            Err(failed) if failed.passes() => Step::Again(failed.to_string()),
            Err(failed) => Step::Stop(failed.to_string()),
        }
    }

    fn update_of(&self, expression: Expression) -> Result<TransactWriteItem, BuildError> {
        let Expression { key, update, condition, names, values } = expression;
        let update = Update::builder()
            .table_name(self.tables.counters())
            .set_key(Some(key))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    fn put_of(&self, record: &Record) -> Result<TransactWriteItem, BuildError> {
        let put = Put::builder()
            .table_name(self.tables.idempotency())
            .set_item(Some(record.item(Kept::Applied)))
            .condition_expression(UNLESS_ALIVE)
            .set_expression_attribute_names(Some(record.names().into()))
            .set_expression_attribute_values(Some([record.now()].into()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// What a record that was there instead decides.
fn found(record: &Record, there: Option<&Item>) -> Step {
    match there.ok_or(Damaged("id")).and_then(|there| record.judge(there)) {
        Ok(Found::Mismatch) => Step::Decided(Verdict::Known(Err(Refusal::KeyMismatch))),
        Ok(Found::Decided { kept: Kept::Applied, replayed }) => Step::Decided(Verdict::Applied { replayed }),
        Ok(Found::Decided { kept: Kept::OutOfRange, replayed }) => Step::Decided(Verdict::OutOfRange { replayed }),
        Err(damaged) => Step::Stop(damaged.to_string()),
    }
}
