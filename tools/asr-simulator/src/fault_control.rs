//! Whom the fault set in force applies to. One [`FaultControl`] for a simulator, one [`Lease`] for
//! each connection; no clock, no I/O.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::faults::{FaultError, Faults};

/// The fault set in force; clones share it.
#[derive(Debug, Clone, Default)]
pub struct FaultControl(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    faults: Arc<Faults>,
    /// Counts the sets.
    generation: u64,
    /// How many may still take a set that is counted.
    left: u32,
}

impl Board {
    fn is_counted(&self) -> bool {
        self.faults.connections.is_some() || self.faults.tasks.is_some()
    }

    /// The set, for one of those that it is counted for.
    fn take(&mut self) -> Option<Arc<Faults>> {
        self.left = self.left.checked_sub(1)?;
        Some(Arc::clone(&self.faults))
    }
}

impl FaultControl {
    /// Replaces what is in force, for all.
    ///
    /// # Errors
    /// The set cannot be; what is in force stays.
    pub fn set(&self, faults: Faults) -> Result<(), FaultError> {
        faults.check()?;
        let mut board = self.lock();
        board.left = faults.connections.or(faults.tasks).unwrap_or(0);
        board.faults = Arc::new(faults);
        board.generation += 1;
        Ok(())
    }

    /// What is in force, with the counts that are left; nothing when they are used up.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let board = self.lock();
        if board.is_counted() && board.left == 0 {
            return Faults::default();
        }
        let mut faults = (*board.faults).clone();
        let left = |count: Option<u32>| count.map(|_| board.left);
        faults.connections = left(faults.connections);
        faults.tasks = left(faults.tasks);
        faults
    }

    /// A connection begins.
    #[must_use]
    pub fn connect(&self) -> Lease {
        let mut board = self.lock();
        let taken = board
            .faults
            .connections
            .is_some()
            .then(|| board.take())
            .flatten();
        Lease {
            generation: board.generation,
            asked: false,
            taken,
            control: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        // Nothing that holds the lock leaves the board half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection has of the sets.
#[derive(Debug)]
pub struct Lease {
    control: FaultControl,
    /// The set that `asked` and `taken` are about.
    generation: u64,
    /// Whether the running task has tried to take a set that is counted by tasks.
    asked: bool,
    taken: Option<Arc<Faults>>,
}

impl Lease {
    /// What applies now.
    #[must_use]
    pub fn faults(&mut self) -> Arc<Faults> {
        self.look(|_, _| {})
    }

    /// What applies to the task that begins now.
    #[must_use]
    pub fn task_begins(&mut self) -> Arc<Faults> {
        self.look(|lease, board| {
            if board.faults.tasks.is_some() {
                lease.taken = board.take();
                lease.asked = true;
            }
        })
    }

    /// What applies to the running task.
    #[must_use]
    pub fn task_runs(&mut self) -> Arc<Faults> {
        self.look(|lease, board| {
            let may_take = board.faults.tasks.is_some() && !board.faults.is_of_the_start();
            if may_take && !lease.asked {
                lease.taken = board.take();
                lease.asked = true;
            }
        })
    }

    fn look(&mut self, take: impl FnOnce(&mut Self, &mut Board)) -> Arc<Faults> {
        let control = self.control.clone();
        let mut board = control.lock();
        if self.generation != board.generation {
            self.generation = board.generation;
            self.asked = false;
            self.taken = None;
        }
        take(self, &mut board);
        if board.is_counted() {
            self.taken.clone().unwrap_or_default()
        } else {
            Arc::clone(&board.faults)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn control(json: &str) -> FaultControl {
        let control = FaultControl::default();
        set(&control, json);
        control
    }

    fn set(control: &FaultControl, json: &str) {
        control
            .set(Faults::parse(json.as_bytes()).unwrap())
            .unwrap();
    }

    #[test]
    fn a_set_without_a_count_is_everybodys_until_it_is_replaced() {
        let control = control("{}");
        let mut lease = control.connect();
        assert!(lease.task_begins().is_none());
        set(&control, r#"{"fail_after_seconds": 1}"#);
        assert_eq!(lease.task_runs().fail_after_seconds, Some(1));
        assert_eq!(control.connect().faults().fail_after_seconds, Some(1));
        set(&control, "{}");
        assert!(lease.task_runs().is_none());
    }

    #[test]
    fn a_set_for_connections_is_for_the_next_ones_and_clears_itself() {
        let control = control("{}");
        let mut before = control.connect();
        set(&control, r#"{"connections": 2, "unauthorized": true}"#);
        assert!(!before.faults().unauthorized);
        let mut first = control.connect();
        assert_eq!(control.faults().connections, Some(1));
        let mut second = control.connect();
        assert_eq!(control.faults(), Faults::default());
        assert!(!control.connect().faults().unauthorized);
        assert!(first.faults().unauthorized && second.task_begins().unauthorized);
        set(&control, "{}");
        assert!(!first.faults().unauthorized);
    }

    #[test]
    fn a_set_for_tasks_takes_running_ones_too_and_not_those_that_follow() {
        let control = control("{}");
        let (mut running, mut idle) = (control.connect(), control.connect());
        let _ = running.task_begins();
        set(&control, r#"{"tasks": 2, "close_after_seconds": 3}"#);
        assert!(idle.faults().is_none());
        assert_eq!(running.task_runs().close_after_seconds, Some(3));
        assert_eq!(running.task_runs().close_after_seconds, Some(3));
        assert_eq!(control.faults().tasks, Some(1));
        assert_eq!(idle.task_begins().close_after_seconds, Some(3));
        assert!(running.task_begins().is_none());
        assert!(control.faults().is_none());
    }

    #[test]
    fn a_new_set_ends_the_old_one_for_those_that_have_it() {
        let control = control(r#"{"connections": 1, "unauthorized": true}"#);
        let mut lease = control.connect();
        assert!(lease.faults().unauthorized);
        set(&control, r#"{"connections": 1, "duplicate_finals": true}"#);
        assert!(lease.faults().is_none());
        set(&control, r#"{"tasks": 1, "fail_after_seconds": 1}"#);
        let _ = lease.task_begins();
        set(&control, r#"{"tasks": 1, "fail_after_seconds": 2}"#);
        assert_eq!(lease.task_runs().fail_after_seconds, Some(2));
    }

    #[test]
    fn a_fault_of_the_start_waits_for_a_task_that_begins() {
        let control = control("{}");
        let mut lease = control.connect();
        let _ = lease.task_begins();
        set(&control, r#"{"tasks": 1, "never_start": true}"#);
        assert!(!lease.task_runs().never_start);
        assert!(control.connect().task_begins().never_start);
    }

    #[test]
    fn a_set_that_cannot_be_changes_nothing() {
        let control = control(r#"{"never_start": true}"#);
        let bad = Faults {
            tasks: Some(0),
            ..Faults::default()
        };
        assert!(control.set(bad).is_err());
        assert!(control.faults().never_start);
    }
}
