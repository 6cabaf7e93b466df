//! Clock, disk, network and randomness behind traits: the real ones, and simulated ones that fail from a seed.
