//! What a push consumer delivers. The rule: the consumer's own numbers must rise by one; a heartbeat says up to where.
//!
//! Formats: NATS ADR-15 (the reply subject of a message), ADR-9 (idle heartbeats) and the JetStream wire protocol for
//! flow control.

use analytics_shared::CounterState;
use async_nats::{Message, StatusCode, Subject};
use lambda_trigger::changelog::Changelog;

/// The number of the consumer's last message, in a heartbeat.
const LAST_CONSUMER: &str = "Nats-Last-Consumer";

/// Where to answer so that a stalled consumer goes on, in a heartbeat.
const STALLED: &str = "Nats-Consumer-Stalled";

/// What has come from one consumer, and the states of its last batch.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    consumer: u64,
    sequence: Option<u64>,
    states: Vec<CounterState>,
}

impl Delivery {
    /// Takes a batch; answers the subjects to reply to, and the gap if there is one: what came before it is taken.
    pub(super) fn take(&mut self, batch: Vec<Message>, log: &Changelog) -> (Result<(), String>, Vec<Subject>) {
        let mut answers = Vec::new();
        let taken = batch.into_iter().try_for_each(|message| match message.status {
            None => self.message(&message, log),
            Some(StatusCode::IDLE_HEARTBEAT) => self.control(message, &mut answers),
            Some(status) => Err(format!("the consumer ended: {status} {}", message.description.unwrap_or_default())),
        });
        (taken, answers)
    }

    /// The states of the last batch, in order.
    pub(super) fn take_states(&mut self) -> Vec<CounterState> {
        std::mem::take(&mut self.states)
    }

    /// The last message's number in the stream.
    pub(super) fn last_sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// The last message's number in the consumer.
    pub(super) fn last_consumer(&self) -> u64 {
        self.consumer
    }

    fn message(&mut self, message: &Message, log: &Changelog) -> Result<(), String> {
        let reply = message.reply.as_deref().unwrap_or_default();
        let (sequence, consumer) = numbers(reply).ok_or_else(|| format!("a message without numbers: {reply:?}"))?;
        if consumer != self.consumer + 1 {
            return Err(format!("message {consumer} came after {}", self.consumer));
        }
        match log.state(&message.subject, &message.payload) {
            Some(state) => self.states.push(state),
            None => tracing::warn!(subject = %message.subject, "a message in the log is none of ours"),
        }
        self.consumer = consumer;
        self.sequence = Some(sequence);
        Ok(())
    }

    /// A heartbeat, or a question whether this side keeps up.
    fn control(&self, message: Message, answers: &mut Vec<Subject>) -> Result<(), String> {
        let header = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name));
        answers.extend(header(STALLED).map(|subject| Subject::from(subject.as_str())));
        let last = header(LAST_CONSUMER).and_then(|last| last.as_str().parse::<u64>().ok());
        match last {
            Some(last) if last != self.consumer => {
                return Err(format!("message {last} was sent and {} came", self.consumer));
            }
            _ => {}
        }
        answers.extend(message.reply);
        Ok(())
    }
}

/// The numbers of a message in the stream and in the consumer, from its reply subject.
fn numbers(reply: &str) -> Option<(u64, u64)> {
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    // `<stream>.<consumer>.<deliveries>.<stream number>.<consumer number>.<time>.<pending>`; newer servers put the
    // domain and a hash of the account before it and may append to it.
    let from = match tokens.len() {
        7 => 3,
        9.. => 5,
        _ => return None,
    };
    Some((tokens[from].parse().ok()?, tokens[from + 1].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_both_forms_of_a_reply() {
        assert_eq!(numbers("$JS.ACK.changes.c1.1.42.7.1700000000000000000.0"), Some((42, 7)));
        assert_eq!(numbers("$JS.ACK.hub.hash.changes.c1.1.42.7.1700000000000000000.0"), Some((42, 7)));
        assert_eq!(numbers("$JS.ACK.hub.hash.changes.c1.1.42.7.1700000000000000000.0.token"), Some((42, 7)));
        assert_eq!(numbers("$JS.ACK.changes.c1.1.x.7.1.0"), None);
        assert_eq!(numbers("$JS.ACK.a.b"), None);
        assert_eq!(numbers(""), None);
    }
}
