//! Thousands of seeds in every profile, and one of them again: `README.md` says how.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use simulation::coverage::KINDS;
use simulation::mutant::Mutant;
use simulation::profile::{NAMES, Profile};
use simulation::{Run, run};

/// Seeds of each profile in CI: always the same ones, from 0 on.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 500 };
/// A bug must be found in so many runs.
const MUTANT_RUNS: u64 = 4_000;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {value}")),
    )
}

fn profile(name: &str) -> Profile {
    Profile::named(name).unwrap_or_else(|| panic!("SIMULATION_PROFILE must be one of {NAMES:?}"))
}

fn describe(seed: u64, profile: &str, run: &Run) -> String {
    format!(
        "{}\n\nseed {seed} of {profile}: {}\nagain, with the whole trace:\n\
         SIMULATION_SEED={seed} SIMULATION_PROFILE={profile} cargo test -p simulation --release replay -- --nocapture",
        run.lines.join("\n"),
        run.violation.as_deref().unwrap_or("all is well"),
    )
}

#[test]
fn no_seed_breaks_what_must_hold() {
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = number("SIMULATION_FIRST_SEED").unwrap_or(0);
    let profiles = NAMES.map(profile);
    let next = AtomicU64::new(0);
    let all = Mutex::new((BTreeMap::<&str, u64>::new(), Vec::new()));
    let work = || loop {
        let job = next.fetch_add(1, Ordering::Relaxed);
        let (nth, profile) = (
            job / NAMES.len() as u64,
            &profiles[job as usize % NAMES.len()],
        );
        if nth >= seeds {
            return;
        }
        let seed = first.wrapping_add(nth);
        let run = run(seed, profile, Mutant::None, false);
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, times) in &run.reached {
            *all.0.entry(kind).or_default() += times;
        }
        if run.violation.is_some() {
            all.1.push((seed, profile.name, run));
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let (reached, mut failed) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{seeds} seeds from {first} on of {} profiles reached: {reached:#?}",
        NAMES.len()
    );
    failed.sort_by_key(|(seed, name, _)| (*seed, *name));
    if let Some((seed, name, first)) = failed.first() {
        let which: Vec<_> = failed
            .iter()
            .map(|(seed, name, _)| format!("{name} {seed}"))
            .collect();
        panic!(
            "{}\n{} failed: {}",
            describe(*seed, name, first),
            which.len(),
            which.join(", ")
        );
    }
    if first == 0 && seeds >= SEEDS {
        let blind: Vec<_> = KINDS
            .iter()
            .filter(|kind| !reached.contains_key(*kind))
            .collect();
        assert!(blind.is_empty(), "never reached: {blind:?}");
    }
    let unlisted: Vec<_> = reached
        .keys()
        .filter(|kind| !KINDS.contains(kind))
        .collect();
    assert!(unlisted.is_empty(), "not in coverage.rs: {unlisted:?}");
}

#[test]
fn a_seed_is_always_the_same_run() {
    for name in NAMES {
        for seed in 0..5 {
            let first = run(seed, &profile(name), Mutant::None, false);
            let again = run(seed, &profile(name), Mutant::None, true);
            assert_eq!(first.hash, again.hash, "seed {seed} of {name}");
            assert!(again.lines.ends_with(&first.lines));
        }
    }
    let of = |seed| run(seed, &profile("everything"), Mutant::None, false).hash;
    assert_ne!(of(1), of(2));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without --release")]
fn each_bug_is_found() {
    for mutant in Mutant::ALL {
        let runs = (0..MUTANT_RUNS).find(|job| {
            let profile = profile(NAMES[*job as usize % NAMES.len()]);
            run(job / NAMES.len() as u64, &profile, mutant, false)
                .violation
                .is_some()
        });
        let runs = runs.unwrap_or_else(|| panic!("{mutant:?} is not found"));
        println!("{mutant:?}: found in run {}", runs + 1);
    }
}

/// Does nothing unless it is told which seed.
#[test]
fn replay() {
    let Some(seed) = number("SIMULATION_SEED") else {
        return;
    };
    let name = std::env::var("SIMULATION_PROFILE").unwrap_or_else(|_| "everything".into());
    let run = run(seed, &profile(&name), Mutant::None, true);
    println!("{}\ntrace {:016x}", describe(seed, &name, &run), run.hash);
    assert!(run.violation.is_none(), "it breaks");
}
