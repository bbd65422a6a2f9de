//! What a broker, or the way to it, says went wrong, for people: where, why, what to do, and whether
//! to try again.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use subak_task::TaskError;

use crate::target::Target;

/// Turns a failure into what the user sees. `heard` is what librdkafka told by itself before.
pub(crate) fn task_error(
    target: &Target,
    error: &KafkaError,
    heard: Option<(KafkaError, String)>,
) -> TaskError {
    // A request that was not answered says less than the reason why.
    let code = error.rdkafka_error_code();
    let silent = code.is_none_or(|code| {
        matches!(
            code,
            Code::OperationTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::Fail
                // Of a commit after a record that was not taken.
                | Code::Inconsistent
                | Code::PurgeQueue
        )
    });
    let (code, text) = match heard.filter(|_| silent) {
        Some((said, reason)) => (said.rdkafka_error_code().or(code), reason),
        None => (code, code.map_or_else(|| error.to_string(), |code| code.to_string())),
    };
    // librdkafka calls it an authentication that failed, like every other.
    let code = match text.contains("Unsupported SASL mechanism") {
        true => Some(Code::UnsupportedSASLMechanism),
        false => code,
    };
    let advice = code.and_then(advice).map(|advice| format!("\nwhat to do: {advice}"));
    let message = format!("{target}: {text}{}", advice.unwrap_or_default());
    if code.is_some_and(is_permanent) {
        TaskError::permanent(message)
    } else {
        TaskError::transient(message)
    }
}

/// Whether the next try would fail the same way.
fn is_permanent(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic
            | Code::InvalidArgument
            | Code::SSL
            | Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::TransactionalIdAuthorizationFailed
            | Code::InvalidTransactionTimeout
    )
}

fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "set the right login and password with `subak connections add`"
        }
        Code::UnsupportedSASLMechanism => {
            "name the mechanism that the brokers have, in the connection's extra: sasl.mechanism"
        }
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed => {
            "grant the connection's user READ (to write: WRITE) on the topic, and READ on the group that begins with `subak.`"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => {
            "create the topic, or correct its name"
        }
        Code::MessageSizeTooLarge => {
            "raise max.message.bytes of the topic, and message.max.bytes in the connection's extra"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "grant the connection's user WRITE on transactional ids that begin with `subak.`"
        }
        Code::InvalidTransactionTimeout => {
            "set transaction.timeout.ms in the connection's extra to what the brokers allow"
        }
        Code::SSL => {
            "see that the port speaks TLS, and that ssl.ca.location in the connection's extra is its \
             authority"
        }
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::Resolve => {
            "see that the brokers run there, that their advertised addresses can be reached from the \
             worker, and that security.protocol is theirs"
        }
        _ => return None,
    })
}
