//! What the servers do each in their own way: how they call queues and topics, what keeps a subscription, which id a
//! message keeps from one delivery to the next.

use super::frames::Frame;
use super::options::{CLIENT_ID, DESTINATION, QUEUE, SUBSCRIPTION, TOPIC};
use base::options::Options;

/// The header by which Artemis takes a message once.
pub(super) const DUPLICATE_ID: &str = "_AMQ_DUPL_ID";
/// The id that a sender gives to RabbitMQ; what it calls `message-id` is of one delivery.
pub(super) const AMQP_MESSAGE_ID: &str = "amqp-message-id";
/// So many bytes Artemis delivers ahead for a message that may be.
const WINDOW_BYTES: u32 = 1024;

/// Destinations that copy a message to whoever is subscribed, and keep nothing themselves.
const COPIES: &[&str] = &["/topic/", "/exchange/"];

/// Who the server is, by its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brand {
    Artemis,
    ActiveMq,
    RabbitMq,
    Other,
}

impl Brand {
    /// `server` is the header of that name: `RabbitMQ/3.10.8`.
    pub(super) fn of(server: &str) -> Brand {
        let name = server.split(['/', ' ']).next().unwrap_or_default();
        match name {
            "ActiveMQ-Artemis" => Brand::Artemis,
            "ActiveMQ" => Brand::ActiveMq,
            "RabbitMQ" => Brand::RabbitMq,
            _ => Brand::Other,
        }
    }

    /// What tells a message from all others, also when it is delivered again.
    pub(super) fn id(self, frame: &Frame) -> Option<String> {
        let text = |name: &str| frame.header(name).filter(|text| !text.is_empty()).map(str::to_string);
        match self {
            Brand::ActiveMq => text("message-id"),
            // Its numbers begin anew in a new store; no two have one time as well. In front of a comma stands who reads it.
            Brand::Artemis => text(DUPLICATE_ID).or_else(|| {
                let id = frame.header("message-id")?;
                let number = id.rsplit(',').next().unwrap_or(id);
                Some(format!("{number}@{}", text("timestamp")?))
            }),
            Brand::RabbitMq => text(AMQP_MESSAGE_ID),
            Brand::Other => None,
        }
    }

    /// When a message was made: milliseconds, at RabbitMQ seconds.
    pub(super) fn time_ms(self, frame: &Frame) -> Option<i64> {
        let time = frame.number("timestamp").filter(|time| *time > 0)?;
        if self == Brand::RabbitMq { time.checked_mul(1000) } else { Some(time) }
    }

    /// The same as it is written.
    pub(super) fn time(self, ms: i64) -> String {
        if self == Brand::RabbitMq { ms.div_euclid(1000).to_string() } else { ms.to_string() }
    }

    /// For how long a message may wait: RabbitMQ says just that, others until when.
    pub(super) fn ttl_ms(self, frame: &Frame) -> Option<i64> {
        if self == Brand::RabbitMq {
            return frame.number("expiration");
        }
        let until = frame.number("expires").filter(|until| *until > 0)?;
        until.checked_sub(self.time_ms(frame)?).filter(|ttl| *ttl >= 0)
    }

    /// The same as it is written.
    pub(super) fn expiry(self, now_ms: i64, ttl_ms: i64) -> (&'static str, String) {
        match self {
            Brand::RabbitMq => ("expiration", ttl_ms.to_string()),
            _ => ("expires", now_ms.saturating_add(ttl_ms).to_string()),
        }
    }
}

/// Where messages come from, or go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Queue(String),
    Topic(String),
    /// As the server writes it.
    Destination(String),
}

impl Place {
    pub(super) fn of(options: &Options) -> Place {
        let named = |key: &str| options.text(key).filter(|name| !name.is_empty()).map(str::to_string);
        match (named(DESTINATION), named(TOPIC)) {
            (Some(destination), _) => Place::Destination(destination),
            (None, Some(topic)) => Place::Topic(topic),
            (None, None) => Place::Queue(named(QUEUE).unwrap_or_default()),
        }
    }

    /// Whether what it has is lost to who is not there, unless a subscription is kept.
    pub(super) fn is_kept(&self, options: &Options) -> bool {
        match self {
            Place::Queue(_) => false,
            Place::Topic(_) => true,
            Place::Destination(name) => {
                COPIES.iter().any(|prefix| name.starts_with(prefix))
                    || [SUBSCRIPTION, CLIENT_ID].iter().any(|key| options.text(key).is_some())
            }
        }
    }

    /// For the words to a user.
    pub(super) fn told(&self) -> String {
        match self {
            Place::Queue(name) => format!("queue '{name}'"),
            Place::Topic(name) => format!("topic '{name}'"),
            Place::Destination(name) => format!("destination '{name}'"),
        }
    }

    pub(super) fn destination(&self, brand: Brand) -> String {
        let named = |prefix: &str, name: &str| match brand {
            // Queues and topics are told apart by a header.
            Brand::Artemis => name.to_string(),
            // A '/' would begin another part.
            Brand::RabbitMq => format!("{prefix}{}", name.replace('%', "%25").replace('/', "%2F")),
            _ => format!("{prefix}{name}"),
        };
        match self {
            Place::Queue(name) => named("/queue/", name),
            Place::Topic(name) => named("/topic/", name),
            Place::Destination(name) => name.clone(),
        }
    }

    /// What Artemis calls the kind, where we know it.
    pub(super) fn routing_type(&self, brand: Brand) -> Option<&'static str> {
        match self {
            Place::Queue(_) if brand == Brand::Artemis => Some("ANYCAST"),
            Place::Topic(_) if brand == Brand::Artemis => Some("MULTICAST"),
            _ => None,
        }
    }
}

/// The headers with which a server is asked for messages, besides the destination and how they are acknowledged.
/// `kept` names a subscription that outlives the connection.
pub(super) fn wishes(
    brand: Brand,
    place: &Place,
    kept: Option<&str>,
    prefetch: u32,
) -> Vec<(&'static str, String)> {
    let mut wishes: Vec<(&str, String)> = Vec::new();
    match brand {
        Brand::ActiveMq => {
            wishes.push(("activemq.prefetchSize", prefetch.to_string()));
            wishes.extend(kept.map(|name| ("activemq.subscriptionName", name.to_string())));
        }
        Brand::Artemis => {
            wishes.push(("consumer-window-size", prefetch.saturating_mul(WINDOW_BYTES).to_string()));
            wishes.extend(place.routing_type(brand).map(|kind| ("subscription-type", kind.to_string())));
            wishes.extend(kept.map(|name| ("durable-subscription-name", name.to_string())));
        }
        Brand::RabbitMq => {
            wishes.push(("prefetch-count", prefetch.to_string()));
            // It is known by the subscription's id.
            if kept.is_some() {
                wishes.push(("durable", "true".into()));
                wishes.push(("auto-delete", "false".into()));
            }
        }
        Brand::Other => {}
    }
    wishes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_words() {
        for (server, brand) in [
            ("ActiveMQ-Artemis/2.40.0 ActiveMQ Artemis Messaging Engine", Brand::Artemis),
            ("ActiveMQ/6.1.7", Brand::ActiveMq),
            ("RabbitMQ/3.10.8", Brand::RabbitMq),
            ("Somebody/1", Brand::Other),
            ("", Brand::Other),
        ] {
            assert_eq!(Brand::of(server), brand, "{server}");
        }
    }

    #[test]
    fn a_place_is_called_as_each_server_wants_it() {
        let queue = Place::Queue("a/b%".into());
        let called = |place: &Place, brand| place.destination(brand);
        assert_eq!(called(&queue, Brand::ActiveMq), "/queue/a/b%");
        assert_eq!(called(&queue, Brand::RabbitMq), "/queue/a%2Fb%25");
        assert_eq!(called(&queue, Brand::Artemis), "a/b%");
        assert_eq!(called(&Place::Topic("t".into()), Brand::Other), "/topic/t");
        assert_eq!(called(&Place::Destination("/exchange/e".into()), Brand::RabbitMq), "/exchange/e");
        let names = |brand| -> Vec<&str> {
            wishes(brand, &Place::Topic("t".into()), Some("s"), 5).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(Brand::ActiveMq), ["activemq.prefetchSize", "activemq.subscriptionName"]);
        assert_eq!(
            names(Brand::Artemis),
            ["consumer-window-size", "subscription-type", "durable-subscription-name"]
        );
        assert_eq!(names(Brand::RabbitMq), ["prefetch-count", "durable", "auto-delete"]);
        assert!(names(Brand::Other).is_empty());
    }

    #[test]
    fn an_id_is_what_stays_when_a_message_comes_again() {
        let frame = |headers: &[(&str, &str)]| Frame {
            headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            ..Frame::default()
        };
        let plain =
            frame(&[("message-id", "53,7"), ("timestamp", "5"), ("expires", "25"), ("expiration", "9")]);
        assert_eq!(Brand::ActiveMq.id(&plain).as_deref(), Some("53,7"));
        assert_eq!(Brand::Artemis.id(&plain).as_deref(), Some("7@5"));
        assert_eq!(Brand::RabbitMq.id(&plain), None);
        assert_eq!((Brand::Artemis.time_ms(&plain), Brand::Artemis.ttl_ms(&plain)), (Some(5), Some(20)));
        assert_eq!((Brand::RabbitMq.time_ms(&plain), Brand::RabbitMq.ttl_ms(&plain)), (Some(5000), Some(9)));
        assert_eq!((Brand::Artemis.time(5001), Brand::RabbitMq.time(5001)), ("5001".into(), "5".into()));
        assert_eq!(Brand::Other.expiry(5, 2), ("expires", "7".into()));
        assert_eq!(Brand::Other.id(&plain), None);
        let senders = frame(&[("message-id", "7"), (DUPLICATE_ID, "d"), (AMQP_MESSAGE_ID, "a")]);
        assert_eq!(Brand::Artemis.id(&senders).as_deref(), Some("d"));
        assert_eq!(Brand::RabbitMq.id(&senders).as_deref(), Some("a"));
        assert_eq!(Brand::Artemis.id(&frame(&[("message-id", "7")])), None);
    }
}
