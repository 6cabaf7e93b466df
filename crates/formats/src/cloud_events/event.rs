//! Events as somebody publishes them: checked, in any of the forms of the specification.

use super::attributes::{ATTRIBUTES_MAX, Attributes, DataPlaces, is_json};
use crate::base64;
use crate::json::{Next, Scanner, SyntaxError, unescape};
use crate::scalar::shorten;

/// An event of CloudEvents 1.0: all attributes that must be there are.
#[derive(Default)]
pub struct CloudEvent {
    attributes: Attributes,
    /// As it stood: JSON keeps its digits and blanks.
    data: Option<Vec<u8>>,
}

/// Attributes of one event, their names and values, are not longer in all.
const ATTRIBUTES_BYTES_MAX: usize = 64 << 10;

impl CloudEvent {
    /// The binary mode: the attributes by their names, without the prefix of whatever carried them.
    pub fn of_attributes(
        attributes: impl IntoIterator<Item = (String, String)>,
        data: Option<Vec<u8>>,
    ) -> Result<CloudEvent, String> {
        let mut event = CloudEvent { data, ..CloudEvent::default() };
        for (name, value) in attributes {
            if !event.attributes.put(&name, value) {
                return Err(format!("an event has at most {ATTRIBUTES_MAX} attributes"));
            }
        }
        event.checked()
    }

    /// The structured mode: `application/cloudevents+json`.
    pub fn of_json(text: &[u8]) -> Result<CloudEvent, String> {
        let mut scanner = Scanner::new(text);
        let event = CloudEvent::scanned(&mut scanner)?;
        end(&mut scanner)?;
        Ok(event)
    }

    /// A batch: `application/cloudevents-batch+json`. An error names the event by its place, from 0.
    pub fn batch_of_json(text: &[u8], events_max: usize) -> Result<Vec<CloudEvent>, String> {
        let mut scanner = Scanner::new(text);
        let mut events = Vec::new();
        let mut next = scanner.enter(b'[', b']').map_err(syntax)?;
        while next == Next::Element {
            if events.len() >= events_max {
                return Err(format!("a batch has at most {events_max} events; send several"));
            }
            let of_this = |error| format!("event {}: {error}", events.len());
            let event = CloudEvent::scanned(&mut scanner).map_err(of_this)?;
            events.push(event);
            next = scanner.next(b']').map_err(syntax)?;
        }
        end(&mut scanner)?;
        Ok(events)
    }

    fn scanned(scanner: &mut Scanner<'_>) -> Result<CloudEvent, String> {
        let (attributes, DataPlaces { data, base64 }) = Attributes::of_json(scanner).map_err(syntax)?;
        let data = match (data.map(|place| &scanner.bytes[place]), base64) {
            (Some(_), Some(_)) => return Err("it has both 'data' and 'data_base64'".to_owned()),
            (Some(b"null") | None, None) => None,
            (Some(json), None) => Some(plain(json, attributes.get("datacontenttype"))?),
            (None, Some(text)) => {
                let mut bytes = Vec::new();
                if !base64::decode(text.as_bytes(), &mut bytes) {
                    return Err("'data_base64' is no base64".to_owned());
                }
                Some(bytes)
            }
        };
        CloudEvent { attributes, data }.checked()
    }

    fn checked(self) -> Result<CloudEvent, String> {
        self.attributes.check()?;
        let mut bytes = 0;
        for (name, value) in self.attributes.pairs() {
            bytes += name.len() + value.len();
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            if name.is_empty() || !name.bytes().all(is_name) {
                let name = shorten(name);
                return Err(format!(
                    "the attribute '{name}' has a name that is not lower case letters and digits"
                ));
            }
        }
        if bytes > ATTRIBUTES_BYTES_MAX {
            return Err(format!(
                "its attributes take {bytes} bytes, and at most {ATTRIBUTES_BYTES_MAX} are taken"
            ));
        }
        Ok(self)
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)
    }

    /// Name and value of each.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.pairs()
    }

    pub fn into_data(self) -> Option<Vec<u8>> {
        self.data
    }
}

/// Data that is no JSON stands in the JSON of an event as a text.
fn plain(json: &[u8], content_type: Option<&str>) -> Result<Vec<u8>, String> {
    if content_type.is_none_or(is_json) || json.first() != Some(&b'"') {
        return Ok(json.to_vec());
    }
    let mut bytes = Vec::new();
    unescape(Scanner::new(json).text().map_err(syntax)?, &mut bytes);
    Ok(bytes)
}

fn end(scanner: &mut Scanner<'_>) -> Result<(), String> {
    scanner.peek();
    match scanner.at == scanner.bytes.len() {
        true => Ok(()),
        false => Err(format!("there is more behind the JSON, at byte {}", scanner.at)),
    }
}

fn syntax(error: SyntaxError) -> String {
    format!("it is no JSON: at byte {}: {}", error.position, error.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t""#;

    fn data(rest: &str) -> Result<Option<Vec<u8>>, String> {
        CloudEvent::of_json(format!("{START}{rest}}}").as_bytes()).map(CloudEvent::into_data)
    }

    #[test]
    fn data_stays_as_it_stood() {
        assert_eq!(
            data(r#","data": {"n": 1.10, "b":12345678901234567890 }"#).unwrap().unwrap(),
            br#"{"n": 1.10, "b":12345678901234567890 }"#
        );
        assert_eq!(data(r#","data":"a\n""#).unwrap().unwrap(), br#""a\n""#);
        assert_eq!(data(r#","data":"a\n","datacontenttype":"text/plain""#).unwrap().unwrap(), b"a\n");
        assert_eq!(data(r#","data_base64":"AAE=""#).unwrap().unwrap(), b"\x00\x01");
        assert_eq!(data(r#","data":null"#).unwrap(), None);
        assert_eq!(data("").unwrap(), None);
    }

    #[test]
    fn what_is_no_event_says_why() {
        for (rest, why) in [
            (r#","id":"""#, "'id' is missing"),
            (r#","specversion":"2.0""#, "the version '2.0'"),
            (r#","Upper":"x""#, "'Upper'"),
            (r#","data":1,"data_base64":"AAE=""#, "both"),
            (r#","data_base64":"?""#, "no base64"),
            (r#","data":{"#, "no JSON"),
            (r#"} {"a":1"#, "more behind"),
        ] {
            let error = data(rest).unwrap_err();
            assert!(error.contains(why), "{rest}: {error}");
        }
        let many: String = (0..=ATTRIBUTES_MAX).map(|n| format!(r#","a{n}":1"#)).collect();
        assert!(data(&many).unwrap_err().contains("at most 256"));
        let large = format!(r#","long":"{}""#, "x".repeat(ATTRIBUTES_BYTES_MAX));
        assert!(data(&large).unwrap_err().contains("at most"));
    }

    #[test]
    fn batches_are_whole_or_nothing() {
        let event = format!("{START}}}");
        let batch = |text: String| CloudEvent::batch_of_json(text.as_bytes(), 3).map(|events| events.len());
        assert_eq!(batch("[]".into()).unwrap(), 0);
        assert_eq!(batch(format!("[{event}, {event}]")).unwrap(), 2);
        assert!(batch(format!("[{event},{{}}]")).unwrap_err().starts_with("event 1: "));
        assert!(batch(format!("[{event},{event},{event},{event}]")).unwrap_err().contains("at most 3"));
        assert!(batch(format!("[{event}")).unwrap_err().contains("no JSON"));
    }

    #[test]
    fn attributes_of_headers_are_checked_as_well() {
        let all = [("specversion", "1.0"), ("id", "1"), ("source", "s"), ("type", "t"), ("tenant", "x")];
        let of = |names: &[(&str, &str)]| {
            let pairs = names.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            CloudEvent::of_attributes(pairs, Some(b"x".to_vec()))
        };
        let event = of(&all).unwrap();
        assert_eq!(event.attribute("tenant"), Some("x"));
        assert_eq!(event.attributes().count(), 5);
        assert_eq!(event.into_data().unwrap(), b"x");
        assert!(of(&all[1..]).is_err_and(|error| error.contains("specversion")));
    }
}
