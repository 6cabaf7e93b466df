//! The texts of the benchmark's events: names, places, channels, addresses, filler.

use super::generator::Config;
use crate::random::mix;

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;
/// Texts of random letters are at least so long.
const LETTERS_MIN: u64 = 3;
/// What the numbers and times of an event are taken for in its size.
const PERSON_FIXED_BYTES: usize = 16;
const AUCTION_FIXED_BYTES: usize = 56;
const BID_FIXED_BYTES: usize = 32;

/// Letters that follow from one random number.
struct Letters(u64);

impl Letters {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % bound
    }

    /// Exactly so many of a to z.
    fn exact(&mut self, length: usize, into: &mut Vec<u8>) {
        let mut rest = length;
        while rest > 0 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let bytes = mix(self.0).to_le_bytes();
            let taken = rest.min(bytes.len());
            into.extend(bytes[..taken].iter().map(|byte| b'a' + ((u16::from(*byte) * 26) >> 8) as u8));
            rest -= taken;
        }
    }

    /// Fewer than `bound`, now and then a separator between them.
    fn some(&mut self, bound: u64, separator: u8, into: &mut Vec<u8>) {
        let length = LETTERS_MIN + self.below(bound - LETTERS_MIN);
        for place in 0..length {
            match self.below(13) {
                0 if place > 0 && place + 1 < length => into.push(separator),
                _ => into.push(b'a' + self.below(26) as u8),
            }
        }
    }

    /// Fills what was written up to a size that is `wanted` on average.
    fn filler(&mut self, written: usize, wanted: usize, into: &mut Vec<u8>) {
        let Some(missing) = wanted.checked_sub(written) else { return };
        let spread = (missing + 2) / 5;
        let more = if spread == 0 { 0 } else { self.below(2 * spread as u64) as usize };
        self.exact(missing - spread + more, into);
    }
}

/// The channels that bids come from and their addresses, which stay the same.
pub(crate) struct Channels {
    addresses: Vec<String>,
}

impl Channels {
    pub(crate) fn new(seed: u64) -> Channels {
        let address = |channel: u64| {
            let mut letters = Letters(mix(seed ^ mix(channel ^ 0xc4a7)));
            let mut text = b"https://www.nexmark.com/".to_vec();
            for _ in 0..3 {
                letters.some(5, b'_', &mut text);
                text.push(b'/');
            }
            let mut text = String::from_utf8_lossy(&text).into_owned();
            text.push_str("item.htm?query=1");
            if channel < CHANNELS && letters.below(10) > 0 {
                text.push_str(&format!("&channel_id={}", (channel as i32).reverse_bits().unsigned_abs()));
            }
            text
        };
        Channels { addresses: (0..CHANNELS + HOT_CHANNELS.len() as u64).map(address).collect() }
    }

    /// The number of the channel of a bid: every other bid comes from one of the hot ones, which are the last.
    fn of(config: &Config, number: i64) -> u64 {
        let random = config.random(number, 9);
        if random & 1 == 0 {
            CHANNELS + (random >> 1) % HOT_CHANNELS.len() as u64
        } else {
            (random >> 1) % CHANNELS
        }
    }
}

fn pick<'a>(texts: &[&'a str], random: u64) -> &'a [u8] {
    texts[(random % texts.len() as u64) as usize].as_bytes()
}

/// A text of an event, by the number of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Name,
    Email,
    CreditCard,
    City,
    State,
    PersonExtra,
    ItemName,
    Description,
    AuctionExtra,
    Channel,
    Url,
    BidExtra,
}

impl Text {
    pub(crate) fn write(self, config: &Config, channels: &Channels, number: i64, into: &mut Vec<u8>) {
        let mut letters = Letters(config.random(number, 32 + self as u64));
        match self {
            Text::Name => {
                into.extend_from_slice(pick(&FIRST_NAMES, letters.below(1 << 32)));
                into.push(b' ');
                into.extend_from_slice(pick(&LAST_NAMES, letters.below(1 << 32)));
            }
            Text::Email => {
                letters.some(7, b' ', into);
                into.push(b'@');
                letters.some(5, b' ', into);
                into.extend_from_slice(b".com");
            }
            Text::CreditCard => {
                for group in 0..4 {
                    if group > 0 {
                        into.push(b' ');
                    }
                    let digits = letters.below(10_000);
                    into.extend([1000, 100, 10, 1].map(|place| b'0' + (digits / place % 10) as u8));
                }
            }
            Text::City => into.extend_from_slice(pick(&CITIES, letters.below(1 << 32))),
            Text::State => into.extend_from_slice(pick(&STATES, letters.below(1 << 32))),
            Text::PersonExtra => {
                let texts = [Text::Name, Text::Email, Text::CreditCard, Text::City, Text::State];
                let written = PERSON_FIXED_BYTES + length(&texts, config, channels, number);
                letters.filler(written, config.person_bytes, into);
            }
            Text::ItemName => letters.some(20, b' ', into),
            Text::Description => letters.some(100, b' ', into),
            Text::AuctionExtra => {
                let texts = [Text::ItemName, Text::Description];
                let written = AUCTION_FIXED_BYTES + length(&texts, config, channels, number);
                letters.filler(written, config.auction_bytes, into);
            }
            Text::Channel => match Channels::of(config, number).checked_sub(CHANNELS) {
                Some(hot) => into.extend_from_slice(HOT_CHANNELS[hot as usize].as_bytes()),
                None => {
                    into.extend_from_slice(b"channel-");
                    into.extend_from_slice(Channels::of(config, number).to_string().as_bytes());
                }
            },
            Text::Url => {
                let channel = Channels::of(config, number) as usize;
                into.extend_from_slice(channels.addresses[channel].as_bytes());
            }
            Text::BidExtra => letters.filler(BID_FIXED_BYTES, config.bid_bytes, into),
        }
    }
}

/// How long some texts of an event are together.
fn length(texts: &[Text], config: &Config, channels: &Channels, number: i64) -> usize {
    let mut bytes = Vec::new();
    texts.iter().for_each(|text| text.write(config, channels, number, &mut bytes));
    bytes.len()
}
