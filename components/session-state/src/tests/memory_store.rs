//! A store in memory that can be stopped after so many writes, and whose calls can be made to wait
//! for their turn.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::Store;
use crate::wit::Error;

/// Something that is done at the same time as other tasks.
pub type Task<'a, T> = Box<dyn FnOnce(&MemoryStore) -> T + Send + 'a>;

/// A store in memory. Several threads may use it.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    turns: Option<Turns>,
}

#[derive(Clone, Default)]
struct State {
    values: BTreeMap<String, String>,
    counters: BTreeMap<String, u64>,
    /// Keys that may still be written before every call fails; none: all.
    writes_left: Option<usize>,
    /// Calls that were made.
    calls: usize,
    /// Keys that were written.
    writes: usize,
    /// Which task swapped which key, in order.
    swaps: Vec<(usize, String)>,
    /// A swap writes whatever is there, to see that the tests notice.
    has_broken_swap: bool,
}

impl State {
    /// Batches are written key by key: what holds here holds for stores without transactions.
    fn write(&mut self, key: &str, value: Option<&str>) -> Result<(), Error> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or_else(stopped)?;
        }
        self.writes += 1;
        match value {
            Some(value) => drop(self.values.insert(key.to_owned(), value.to_owned())),
            None => drop(self.values.remove(key)),
        }
        Ok(())
    }
}

fn stopped() -> Error {
    Error::Unavailable("stopped".into())
}

impl MemoryStore {
    /// A copy of what is stored, with nothing that stops it.
    pub fn copy(&self) -> MemoryStore {
        let state = self.lock();
        let copy = State {
            values: state.values.clone(),
            counters: state.counters.clone(),
            ..State::default()
        };
        MemoryStore {
            state: Mutex::new(copy),
            turns: None,
        }
    }

    /// From now on `writes` keys are written, then every call fails; none: all work.
    pub fn stop_after(&self, writes: Option<usize>) {
        self.lock().writes_left = writes;
    }

    pub fn with_broken_swap(self) -> MemoryStore {
        self.lock().has_broken_swap = true;
        self
    }

    /// All keys and values.
    pub fn values(&self) -> BTreeMap<String, String> {
        self.lock().values.clone()
    }

    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    pub fn writes(&self) -> usize {
        self.lock().writes
    }

    /// Which task swapped `key`, in order.
    pub fn swaps_of(&self, key: &str) -> Vec<usize> {
        let state = self.lock();
        let of_key = state.swaps.iter().filter(|(_, swapped)| swapped == key);
        of_key.map(|(task, _)| *task).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call of the store: it waits for its turn first.
    fn call(&self) -> Result<MutexGuard<'_, State>, Error> {
        if let Some(turns) = &self.turns {
            turns.wait();
        }
        let mut state = self.lock();
        state.calls += 1;
        if state.writes_left == Some(0) {
            return Err(stopped());
        }
        Ok(state)
    }

    /// Runs the tasks at the same time, one store call after the other, in the order that `choices`
    /// says (again and again from its beginning). Gives their results.
    pub fn interleave<T: Send>(&mut self, choices: &[u8], tasks: Vec<Task<'_, T>>) -> Vec<T> {
        self.turns = Some(Turns::new(tasks.len()));
        let store = &*self;
        let turns = store.turns.as_ref().unwrap();
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = tasks
                .into_iter()
                .enumerate()
                .map(|(id, task)| {
                    scope.spawn(move || {
                        TASK.set(id);
                        let _ends = turns.end_when_dropped();
                        task(store)
                    })
                })
                .collect();
            turns.give(choices);
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        self.turns = None;
        results
    }
}

thread_local! {
    /// Which task this thread runs.
    static TASK: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Whose turn it is.
struct Turns {
    state: Mutex<TurnState>,
    changed: Condvar,
}

struct TurnState {
    /// Tasks that wait for their turn.
    waiting: Vec<usize>,
    /// The task whose turn it is.
    running: Option<usize>,
    /// Tasks that have not ended.
    alive: usize,
}

struct Ends<'a>(&'a Turns);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = None;
        state.alive -= 1;
        self.0.changed.notify_all();
    }
}

impl Turns {
    fn new(tasks: usize) -> Turns {
        Turns {
            state: Mutex::new(TurnState {
                waiting: Vec::new(),
                running: None,
                alive: tasks,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_when_dropped(&self) -> Ends<'_> {
        Ends(self)
    }

    fn wait(&self) {
        let task = TASK.get();
        let mut state = self.lock();
        if state.running == Some(task) {
            state.running = None;
        }
        state.waiting.push(task);
        self.changed.notify_all();
        while state.running != Some(task) {
            state = self.changed.wait(state).unwrap();
        }
    }

    /// Gives one task after the other its turn, whenever all wait.
    fn give(&self, choices: &[u8]) {
        let mut choices = choices.iter().cycle();
        let mut state = self.lock();
        while state.alive > 0 {
            if state.running.is_some() || state.waiting.len() < state.alive {
                state = self.changed.wait(state).unwrap();
                continue;
            }
            // Threads arrive in any order; the same choices must mean the same tasks.
            state.waiting.sort_unstable();
            let choice = choices.next().map_or(0, |choice| usize::from(*choice));
            let at = choice % state.waiting.len();
            state.running = Some(state.waiting.remove(at));
            self.changed.notify_all();
        }
    }
}

impl Store for MemoryStore {
    type Attempt = (String, Option<String>);

    fn get_list(&self, keys: &[String]) -> Result<Vec<Option<String>>, Error> {
        let state = self.call()?;
        Ok(keys
            .iter()
            .map(|key| state.values.get(key).cloned())
            .collect())
    }

    fn set_many(&self, values: Vec<(String, String)>) -> Result<(), Error> {
        let mut state = self.call()?;
        values
            .iter()
            .try_for_each(|(key, value)| state.write(key, Some(value)))
    }

    fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        let mut state = self.call()?;
        keys.iter().try_for_each(|key| state.write(key, None))
    }

    fn increment(&self, key: &str) -> Result<u64, Error> {
        let mut state = self.call()?;
        let counter = state.counters.entry(key.to_owned()).or_default();
        *counter += 1;
        Ok(*counter)
    }

    fn counter(&self, key: &str) -> Result<u64, Error> {
        let state = self.call()?;
        Ok(state.counters.get(key).copied().unwrap_or_default())
    }

    fn begin_swap(&self, key: &str) -> Result<(Self::Attempt, Option<String>), Error> {
        let state = self.call()?;
        let current = state.values.get(key).cloned();
        Ok(((key.to_owned(), current.clone()), current))
    }

    fn end_swap(&self, (key, expected): Self::Attempt, new: &str) -> Result<bool, Error> {
        let mut state = self.call()?;
        if state.values.get(&key) != expected.as_ref() && !state.has_broken_swap {
            return Ok(false);
        }
        state.write(&key, Some(new))?;
        state.swaps.push((TASK.get(), key));
        Ok(true)
    }
}
