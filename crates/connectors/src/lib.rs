//! One outside system per file: kafka (embedded), filesystem, datagen, print, blackhole.
