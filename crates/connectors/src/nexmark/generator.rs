//! The numbers of the benchmark's events: which event comes at which place, when, and who is in it.
//!
//! Every value follows from the seed and the event's number, so any range can be made at any time. Of so many events
//! in a row the first are persons, the next auctions, the others bids. Ids count up by kind; an auction or a bid mostly
//! names one of a few "hot" persons or auctions and otherwise one of those that are alive.

use crate::random::{mix, unit};

const FIRST_PERSON_ID: i64 = 1000;
const FIRST_AUCTION_ID: i64 = 1000;
const FIRST_CATEGORY_ID: i64 = 10;
const CATEGORIES: u64 = 5;
/// Events may name persons and auctions that come only a little later.
const PERSON_ID_LEAD: i64 = 10;
const AUCTION_ID_LEAD: i64 = 10;
const ACTIVE_PERSONS_MAX: i64 = 1000;
const AUCTIONS_IN_FLIGHT: i64 = 100;
/// One of so many persons and auctions is hot.
const HOT_EVERY: i64 = 100;
/// The rates of a sine are taken at so many places of a period.
const SINE_STEPS: i64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Person,
    Auction,
    Bid,
}

impl Event {
    /// As the column `event_type` says it.
    pub(crate) fn code(self) -> i32 {
        self as i32
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateShape {
    Square,
    Sine,
}

/// What the table's options say.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub seed: u64,
    pub base_time_ms: i64,
    pub persons: i64,
    pub auctions: i64,
    pub bids: i64,
    pub hot_auctions: u64,
    pub hot_bidders: u64,
    pub hot_sellers: u64,
    pub person_bytes: usize,
    pub auction_bytes: usize,
    pub bid_bytes: usize,
    pub rates: Rates,
}

/// The times of events: cycles of so many events, each so many microseconds after the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rates {
    cycles: Vec<Cycle>,
    events: i64,
    period_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cycle {
    events: i64,
    delay_us: i64,
}

impl Rates {
    /// Rates in events per second; at different rates, one period goes through the shape once.
    pub(crate) fn new(shape: RateShape, first: i64, next: i64, period_seconds: i64) -> Rates {
        let delay_us = |rate: i64| ((1_000_000 + rate / 2) / rate).max(1);
        if first == next {
            let cycle = Cycle { events: i64::MAX, delay_us: delay_us(first) };
            return Rates { cycles: vec![cycle], events: i64::MAX, period_ms: 0 };
        }
        let rates: Vec<i64> = match shape {
            RateShape::Square => vec![first, next],
            RateShape::Sine => {
                let (middle, height) = ((first + next) as f64 / 2.0, (first - next) as f64 / 2.0);
                let angle = |step: i64| std::f64::consts::TAU * step as f64 / SINE_STEPS as f64;
                (0..SINE_STEPS).map(|step| (middle + height * angle(step).cos()).round() as i64).collect()
            }
        };
        let steps = rates.len() as i64;
        let step_us = (period_seconds + steps - 1) / steps * 1_000_000;
        let cycle = |rate: i64| {
            let delay_us = delay_us(rate.max(1));
            Cycle { events: (step_us / delay_us).max(1), delay_us }
        };
        let cycles: Vec<Cycle> = rates.into_iter().map(cycle).collect();
        let events = cycles.iter().map(|cycle| cycle.events).sum();
        let period_ms = cycles.iter().map(|cycle| cycle.events * cycle.delay_us / 1000).sum();
        Rates { cycles, events, period_ms }
    }

    /// Milliseconds from the first event to this one; never less than to the event before.
    pub(crate) fn elapsed_ms(&self, number: i64) -> i64 {
        let mut elapsed_ms = (number / self.events).saturating_mul(self.period_ms);
        let mut rest = number % self.events;
        for cycle in &self.cycles {
            if rest < cycle.events {
                let elapsed_us = i128::from(rest) * i128::from(cycle.delay_us);
                return elapsed_ms.saturating_add(i64::try_from(elapsed_us / 1000).unwrap_or(i64::MAX));
            }
            rest -= cycle.events;
            elapsed_ms = elapsed_ms.saturating_add(cycle.events * cycle.delay_us / 1000);
        }
        elapsed_ms
    }
}

impl Config {
    fn events_in_turn(&self) -> i64 {
        self.persons + self.auctions + self.bids
    }

    pub(crate) fn event(&self, number: i64) -> Event {
        let place = number % self.events_in_turn();
        if place < self.persons {
            Event::Person
        } else if place < self.persons + self.auctions {
            Event::Auction
        } else {
            Event::Bid
        }
    }

    pub(crate) fn time_ms(&self, number: i64) -> i64 {
        self.base_time_ms.saturating_add(self.rates.elapsed_ms(number))
    }

    /// A random number of an event; every salt gives another.
    pub(crate) fn random(&self, number: i64, salt: u64) -> u64 {
        mix(self.seed ^ mix((number as u64).wrapping_mul(64).wrapping_add(salt)))
    }

    fn below(&self, number: i64, salt: u64, bound: i64) -> i64 {
        (self.random(number, salt) % bound.max(1) as u64) as i64
    }

    /// How many persons are there up to this event, less one.
    fn last_person(&self, number: i64) -> i64 {
        let place = (number % self.events_in_turn()).min(self.persons - 1);
        (number / self.events_in_turn() * self.persons + place).max(0)
    }

    /// How many auctions are there up to this event, less one.
    fn last_auction(&self, number: i64) -> i64 {
        let (mut turn, mut place) = (number / self.events_in_turn(), number % self.events_in_turn());
        if place < self.persons {
            turn -= 1;
            place = self.auctions - 1;
        } else {
            place = (place - self.persons).min(self.auctions - 1);
        }
        (turn * self.auctions + place).max(0)
    }

    fn any_person(&self, number: i64, salt: u64) -> i64 {
        let persons = self.last_person(number) + 1;
        let active = persons.min(ACTIVE_PERSONS_MAX);
        persons - active + self.below(number, salt, active + PERSON_ID_LEAD)
    }

    fn any_auction(&self, number: i64, salt: u64) -> i64 {
        let last = self.last_auction(number);
        let first = (last - AUCTIONS_IN_FLIGHT).max(0);
        first + self.below(number, salt, last - first + 1 + AUCTION_ID_LEAD)
    }

    pub(crate) fn person_id(&self, number: i64) -> i64 {
        FIRST_PERSON_ID + self.last_person(number)
    }

    pub(crate) fn auction_id(&self, number: i64) -> i64 {
        FIRST_AUCTION_ID + self.last_auction(number)
    }

    pub(crate) fn seller(&self, number: i64) -> i64 {
        let person = match self.random(number, 1) % self.hot_sellers {
            0 => self.any_person(number, 2),
            _ => self.last_person(number) / HOT_EVERY * HOT_EVERY,
        };
        FIRST_PERSON_ID + person
    }

    pub(crate) fn bidder(&self, number: i64) -> i64 {
        let person = match self.random(number, 1) % self.hot_bidders {
            0 => self.any_person(number, 2),
            // The second of them, so that hot bidders and hot sellers are others.
            _ => self.last_person(number) / HOT_EVERY * HOT_EVERY + 1,
        };
        FIRST_PERSON_ID + person
    }

    /// The auction that a bid is for.
    pub(crate) fn auction(&self, number: i64) -> i64 {
        let auction = match self.random(number, 3) % self.hot_auctions {
            0 => self.any_auction(number, 4),
            _ => self.last_auction(number) / HOT_EVERY * HOT_EVERY,
        };
        FIRST_AUCTION_ID + auction
    }

    pub(crate) fn category(&self, number: i64) -> i64 {
        FIRST_CATEGORY_ID + (self.random(number, 5) % CATEGORIES) as i64
    }

    /// From 1 to 100 million cents, small ones more often.
    pub(crate) fn price(&self, number: i64, salt: u64) -> i64 {
        (10f64.powf(unit(self.random(number, salt)) * 6.0) * 100.0).round() as i64
    }

    pub(crate) fn initial_bid(&self, number: i64) -> i64 {
        self.price(number, 6)
    }

    pub(crate) fn reserve(&self, number: i64) -> i64 {
        self.initial_bid(number) + self.price(number, 7)
    }

    /// So that about as many auctions are open as are to be.
    pub(crate) fn expires_ms(&self, number: i64) -> i64 {
        let events = AUCTIONS_IN_FLIGHT * self.events_in_turn() / self.auctions.max(1);
        let now_ms = self.time_ms(number);
        let horizon_ms = self.time_ms(number.saturating_add(events)) - now_ms;
        now_ms + 1 + self.below(number, 8, horizon_ms.saturating_mul(2).max(1))
    }
}
